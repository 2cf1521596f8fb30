"""Files that others may have put there: plain ones only, and no more of one than makes sense.

A pipe without a writer would hang whoever opens it, a device never ends, and a file may have a terabyte of holes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

LARGEST = 64 * 2**20  # bytes; of a JSON document of ours
LONGEST_LINE = 2**24  # bytes; of a record


def open_plain(path: Path) -> BufferedReader:
    """Open a file for reading. Raises: OSError, also when it is a pipe, a device or a folder."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return open(fd, "rb")
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "Is a pipe or a device", str(path))


def read_plain(path: Path, most: int = LARGEST) -> bytes:
    """All of a file. Raises: OSError, also when it has more than ``most`` bytes."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1) if size <= most else None  # reading sets aside as much memory as it is asked for
    if data is None or len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def lines_of(file: BufferedReader) -> Iterator[bytes]:
    """The lines of a log; what follows one that is longer than any record is no log and is left out."""
    while line := file.readline(LONGEST_LINE):
        yield line
        if len(line) == LONGEST_LINE:
            return
