"""A run that is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gptmill.durable import sync_folder
from gptmill.track.describe import CONFIG, OURS
from gptmill.track.lock import LOCK
from gptmill.track.run_dir import RunDir, open_run_dir

NEW, OLD = "new", "old"


@contextmanager
def whole_run(out: Path, *, overwrite: bool) -> Iterator[tuple[RunDir, Path]]:
    """Hold ``out``, and give a folder to write a run into, which takes the old one's place when the block ends.

    If the block fails, ``out`` is as it was. The folder is a hidden one inside it: on the same disk, under the same lock,
    and needing no permission to write beside it.

    Raises:
        UserError, TryAgain: as ``open_run_dir``.
    """
    there, had_lock = out.exists(), (out / LOCK).exists()
    run = open_run_dir(out, explicit=True, overwrite=overwrite, complete=lambda _: True, clear=False)
    room = None
    try:
        room = Path(tempfile.mkdtemp(prefix=".import.", dir=out))
        for name in (NEW, OLD):
            (room / name).mkdir()
        yield run, room / NEW
        _swap(room, out)
    except BaseException:
        with contextlib.suppress(OSError):
            if room is not None and not any((room / OLD).glob("*")):  # else a rename back failed: the old run is there
                shutil.rmtree(room, ignore_errors=True)
            if not had_lock:
                (out / LOCK).unlink()
            if not there:
                out.rmdir()
        raise
    else:
        shutil.rmtree(room, ignore_errors=True)
    finally:
        run.release()


def _swap(room: Path, out: Path) -> None:
    """Renames alone, all undone if one fails; of files that are not a run's none is touched."""
    old = sorted(name for name in os.listdir(out) if OURS.fullmatch(name) and name != room.name)
    new = sorted(os.listdir(room / NEW), key=lambda name: name != CONFIG)  # first: a folder without it is not known
    moves = [(out / name, room / OLD / name) for name in old] + [(room / NEW / name, out / name) for name in new]
    try:
        for source, target in moves:
            os.rename(source, target)
        sync_folder(out)
    except BaseException:
        for source, target in reversed(moves):
            if os.path.lexists(target) and not os.path.lexists(source):
                os.rename(target, source)
        raise
