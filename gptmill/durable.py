"""Files that are either whole or absent, whatever kills the process or the machine while they are written."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value that we write: sorted keys, ASCII, a newline at the end.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON has no word for.
    """
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte: os.write may take fewer, for example when the disk is almost full."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def create(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a new file, readable by its owner only, and wait until the disk has it."""
    create_from(path, [data], sync=sync)


def create_from(path: Path, pieces: Iterable[bytes | memoryview], *, sync: bool = True) -> None:
    """The same of pieces, which need not be in memory at the same time."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with _named(path, fd):
        for piece in pieces:
            write_all(fd, piece)
        if sync:
            os.fsync(fd)


def sync_folder(path: Path) -> None:
    """Wait until the disk knows which names this folder holds; fsync of a file does not promise its name."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with _named(path, fd):
        os.fsync(fd)


@contextlib.contextmanager
def _named(path: Path, fd: int) -> Iterator[None]:
    """Close the file in the end; an error on the way tells its name, which a descriptor does not know."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(fd)


def replace(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Give the file new content in one step: a reader, or a crash, sees the old bytes or the new ones.

    Args:
        sync: wait for the disk. Without it a killed process still leaves one or the other; a machine that loses power
            may not, which is enough for what can be made again.
    """
    fresh = Path(tempfile.mktemp(prefix=f".{path.name}.", dir=path.parent))  # create() refuses a name that exists
    try:
        create(fresh, data, sync=sync)
        os.replace(fresh, path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    if sync:
        sync_folder(path.parent)


def replace_link(path: Path, target: str) -> None:
    """Point a symbolic link at ``target`` in one step; anything that is not a link stays and raises OSError."""
    if path.exists() and not path.is_symlink():
        raise FileExistsError(f"{path} exists and is not a link")
    fresh = Path(tempfile.mktemp(prefix=f".{path.name}.", dir=path.parent))
    os.symlink(target, fresh)
    try:
        os.replace(fresh, path)
    except BaseException:
        fresh.unlink()
        raise
    sync_folder(path.parent)


def free_bytes(path: Path) -> int:
    """Bytes a process without privileges can still write on the disk that holds ``path``."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize
