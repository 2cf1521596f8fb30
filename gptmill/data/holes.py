"""Holes in a text: what a download or a copy that was cut short never wrote, and what reads as NULs, a terabyte of them too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from gptmill import units
from gptmill.errors import DataError

LOOKED_AT = 4096  # bytes; a file system may call a hole what is not on its disk yet


def refuse_holes(file: BinaryIO, path: Path) -> None:
    """Raises: DataError: part of the file was never written. Costs a few calls, and leaves the file at its beginning."""
    fd = file.fileno()
    size = os.fstat(fd).st_size
    try:
        start = os.lseek(fd, 0, os.SEEK_HOLE)
    except OSError:  # an empty file, or a file system that does not say
        start = size
    try:
        end = os.lseek(fd, start, os.SEEK_DATA)
    except OSError:  # nothing comes after it
        end = size
    os.lseek(fd, 0, os.SEEK_SET)
    if start < end and not any(os.pread(fd, min(LOOKED_AT, end - start), start)):
        raise DataError(
            f"{path}: {units.size(end - start)} from byte {start} on were never written (a hole in the file), as after a "
            f"download or copy that was cut short; copy or download it again"
        )
