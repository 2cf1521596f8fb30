"""A dataset appears whole or not at all: everything is written aside, flushed to disk, then renamed into place.

The new meta.json goes first. A reader that meets a half-finished exchange finds files that contradict their header and
says so; without this order, token files alone would pass for nanoGPT's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gptmill.errors import TryAgain, UserError

MEMBERS = (
    "meta.json",
    "tokenizer",
    "train.bin",
    "val.bin",
    "train.mask",
    "val.mask",
)  # in the order they take their places


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A folder inside the dataset's folder to write the members into; ``publish`` then puts them in place.

    Only one process at a time prepares a dataset. What a killed one left behind is swept away by the next.

    Raises:
        UserError: the folder cannot be written.
        TryAgain: another process is preparing the same dataset.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{folder}: cannot be used as a dataset folder ({error.strerror})") from None
    aside = folder / ".partial"
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TryAgain(f"{folder}: another process is preparing this dataset; wait for it") from None
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            yield aside
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written ({error.strerror}); free space or choose --data_dir"
            ) from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    finally:
        os.close(lock)
        if not any(folder.iterdir()):
            folder.rmdir()


def publish(aside: Path) -> None:
    """Move the finished members into place, over what is there."""
    for path in [*aside.rglob("*"), aside]:
        _flush(path)
    folder = aside.parent
    for name in MEMBERS:
        if (folder / name).is_dir():  # a folder cannot be renamed over another
            os.rename(folder / name, aside / "old")
        if (aside / name).exists():
            os.replace(aside / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)  # a mask of the dataset that was here
    _flush(folder)
    _flush(folder.parent)


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
