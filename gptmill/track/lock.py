"""A folder that one process has at a time."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from gptmill.errors import TryAgain, UserError

LOCK = ".lock"


def lock_folder(path: Path) -> tuple[int, list[str]]:
    """Make the folder if it is not there, and lock it for the life of this process.

    Returns:
        the file descriptor that holds the lock (the system releases it when the process ends, however it ends), and
        what a person should know.

    Raises:
        TryAgain: another process has it; the message names its pid and host.
        UserError: it is a file.
        OSError: it cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"out_dir={path}: is a file; give the name of a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    notices = []
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 200, 0).decode("ascii", "replace").strip() or "another process"
        os.close(fd)
        raise TryAgain(f"out_dir={path}: in use by {holder}; wait for it to end or choose another out_dir") from None
    except OSError as error:
        notices.append(f"{path}: this disk cannot lock ({error.strerror}): do not start a second run here")
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"pid {os.getpid()} on {socket.gethostname()}\n".encode("ascii", "replace"), 0)
    return fd, notices
