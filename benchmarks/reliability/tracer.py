"""Follows every system call that a process makes on one folder, and kills it at the k-th, or makes that call fail.

``strace -e inject`` counts for each thread and each kind of call by itself, and knows whole paths only. Here one count
runs over all threads and child processes and everything below a folder, so a number names one instant of a save,
whichever thread saves. x86-64 Linux only, because the registers of a failing call are.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.reliability.machine import NotHere
from benchmarks.reliability.runs import fork

TRACEME, POKEUSER, CONT, SETOPTIONS, GET_SYSCALL_INFO = 0, 6, 7, 0x4200, 0x420E
FORK, VFORK, CLONE, EXEC, SECCOMP, EXITKILL = 0x02, 0x04, 0x08, 0x10, 0x80, 0x100000
SECCOMP_STOP = 7  # the event
RAX, ORIG_RAX = 80, 120  # offsets in the user area
WALL = 0x40000000  # wait for threads too
SET_NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2  # of prctl
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # of a filter
TRACE, ALLOW = 0x7FF00000, 0x7FFF0000
AT_FDCWD = -100 % 2**32

# number: name, and which argument is the file descriptor, or the folder's descriptor and the path
BY_FD = {
    0: ("read", 0), 1: ("write", 0), 3: ("close", 0), 5: ("fstat", 0), 8: ("lseek", 0), 9: ("mmap", 4), 16: ("ioctl", 0),
    17: ("pread64", 0), 18: ("pwrite64", 0), 19: ("readv", 0), 20: ("writev", 0), 40: ("sendfile", 0), 72: ("fcntl", 0),
    73: ("flock", 0), 74: ("fsync", 0), 75: ("fdatasync", 0), 77: ("ftruncate", 0), 91: ("fchmod", 0),
    138: ("fstatfs", 0), 217: ("getdents64", 0), 285: ("fallocate", 0), 326: ("copy_file_range", 2),
}  # fmt: skip
BY_PATH = {
    2: ("open", None, 0), 4: ("stat", None, 0), 6: ("lstat", None, 0), 21: ("access", None, 0), 82: ("rename", None, 1),
    83: ("mkdir", None, 0), 84: ("rmdir", None, 0), 86: ("link", None, 1), 87: ("unlink", None, 0),
    88: ("symlink", None, 1), 89: ("readlink", None, 0), 90: ("chmod", None, 0), 137: ("statfs", None, 0),
    257: ("openat", 0, 1), 258: ("mkdirat", 0, 1), 262: ("newfstatat", 0, 1), 263: ("unlinkat", 0, 1),
    264: ("renameat", 2, 3), 265: ("linkat", 2, 3), 266: ("symlinkat", 1, 2), 267: ("readlinkat", 0, 1),
    268: ("fchmodat", 0, 1), 269: ("faccessat", 0, 1), 280: ("utimensat", 0, 1), 316: ("renameat2", 2, 3),
    332: ("statx", 0, 1), 439: ("faccessat2", 0, 1),
}  # fmt: skip
CHANGING = {
    "write", "pwrite64", "writev", "sendfile", "fsync", "fdatasync", "ftruncate", "fallocate", "copy_file_range",
    "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat", "unlink",
    "unlinkat", "creating open",
}  # fmt: skip


class Touch(NamedTuple):
    """One system call on the folder that is watched or a path below it; ``number`` counts them from 0."""

    number: int
    call: str
    path: str

    @property
    def changes(self) -> bool:
        """Whether it is one that can run out of disk."""
        return self.call in CHANGING


KILL = -1
Judge = Callable[[Touch], int | None]


def follow(work: Callable[[], None], below: Path, judge: Judge = lambda _: None) -> tuple[int, list[Touch]]:
    """Run ``work`` in a forked process; returns its exit code, or minus its signal, and what it did below the folder.

    Args:
        judge: asked before each call is made; None lets it happen, KILL ends the process there and then, and an errno
            is what the call, unmade, returns.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NotHere("following system calls is written for Linux on x86-64")
    pid = fork(lambda: _traced(work))
    if os.WIFSTOPPED(os.waitpid(pid, 0)[1]):
        _ptrace(SETOPTIONS, pid, 0, FORK | VFORK | CLONE | EXEC | SECCOMP | EXITKILL)
        _ptrace(CONT, pid, 0, 0)
    touches: list[Touch] = []
    code, followed = 0, {pid}
    while followed:
        tid, status = os.waitpid(-1, WALL)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status) if tid == pid else code
            followed.discard(tid)
            continue
        followed.add(tid)
        stopped_by, deliver = os.WSTOPSIG(status), 0
        if status >> 16 == SECCOMP_STOP:
            _at_call(pid, tid, below, judge, touches)
        elif status >> 16 == 0 and stopped_by not in (signal.SIGSTOP, signal.SIGTRAP):  # not of our own making
            deliver = stopped_by
        _ptrace(CONT, tid, 0, deliver)
    return code, touches


def _at_call(pid: int, tid: int, below: Path, judge: Judge, touches: list[Touch]) -> None:
    info = ctypes.create_string_buffer(88)
    if _ptrace(GET_SYSCALL_INFO, tid, 88, ctypes.addressof(info)) < 0:
        return
    number, *arguments = struct.unpack_from("<24x7Q", info.raw)
    found = _call(tid, number, arguments)
    if found is None or not (found[1] + "/").startswith(f"{below}/"):
        return
    touches.append(Touch(len(touches), *found))
    verdict = judge(touches[-1])
    if verdict == KILL:
        os.kill(pid, signal.SIGKILL)  # a call that a killed thread is about to enter is not made
    elif verdict is not None:
        _ptrace(POKEUSER, tid, ORIG_RAX, -1)  # no call
        _ptrace(POKEUSER, tid, RAX, -verdict)


def _call(tid: int, number: int, arguments: list[int]) -> tuple[str, str] | None:
    """Name and absolute path of a call on a file, or None."""
    try:
        if number in BY_FD:
            name, position = BY_FD[number]
            return name, os.readlink(f"/proc/{tid}/fd/{arguments[position] % 2**32}")
        if number in BY_PATH:
            name, base, position = BY_PATH[number]
            path = _text(tid, arguments[position])
            descriptor = AT_FDCWD if base is None else arguments[base] % 2**32
            folder = "cwd" if descriptor == AT_FDCWD else f"fd/{descriptor}"
            if not path.startswith("/"):
                path = os.path.join(os.readlink(f"/proc/{tid}/{folder}"), path).rstrip("/")
            creating = (name == "open" and arguments[1] & os.O_CREAT) or (
                name == "openat" and arguments[2] & os.O_CREAT
            )
            return "creating open" if creating else name, path
    except OSError:  # a descriptor that is not open, a path that is not mapped: the call will fail by itself
        pass
    return None


def _text(tid: int, address: int) -> str:
    with open(f"/proc/{tid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        text = memory.read(4096 - address % 4096)  # to the end of the page, which the next one may not follow
        if b"\0" not in text:
            text += memory.read(4096)
    return os.fsdecode(text.partition(b"\0")[0])


def _traced(work: Callable[[], None]) -> None:
    _ptrace(TRACEME, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    _stop_at_calls_on_files()
    work()


def _stop_at_calls_on_files() -> None:
    """Have the kernel stop this process at these calls only: to stop at every one takes twice the time."""
    numbers = [*BY_FD, *BY_PATH]
    jumps = [(EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    code = [(LOAD, 0, 0, 0), *jumps, (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, TRACE)]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(steps)))
    if _LIBC.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _LIBC.prctl(SET_SECCOMP, FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _ptrace(request: int, pid: int, address: int, data: int) -> int:
    return int(_LIBC.ptrace(request, pid, ctypes.c_void_p(address), ctypes.c_void_p(data)))


_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.restype = ctypes.c_long
