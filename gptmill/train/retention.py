"""Which checkpoints stay. Deleting is the only dangerous thing a checkpointer does, so it is all in this file.

Only folders that we named, directly inside a real ``checkpoints`` folder, holding nothing but our files, are ever
removed; a symbolic link is never followed and never removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from gptmill import durable
from gptmill.errors import CheckpointError
from gptmill.train.manifest import MANIFEST, MEMBER, read_manifest, steps, verify

TEMPORARY = re.compile(r"\.step_\d{8,}\.\w{8}")


def retire(run_dir: Path, keep: int, proven: Path | None = None) -> list[Path]:
    """Remove checkpoints older than the ``keep`` newest, except the best; returns those removed.

    Args:
        keep: 0 keeps all.
        proven: one that was verified a moment ago and need not be read again.

    An old one goes only while two newer ones verify, so a failing disk cannot talk us out of the last good state.
    """
    folders = steps(run_dir)
    old = [folder for folder in folders[:-keep] if not is_best(run_dir, folder) and _ours(folder)] if keep else []
    if not old:
        return []
    removed: list[Path] = []
    good = 0
    for folder in reversed(folders):
        if good < 2:
            good += folder == proven or not verify(folder)
        elif folder in old:
            _remove(folder)
            removed.append(folder)
    return removed


def keep_best_and_last(run_dir: Path) -> list[Path]:
    """Remove every other checkpoint of a run that is complete; returns those removed.

    Two that verify always stay: where the last is also the best, the one before it does.
    """
    newest_first = steps(run_dir)[::-1]
    folders = sorted(newest_first, key=lambda folder: folder != newest_first[0] and not is_best(run_dir, folder))
    removed: list[Path] = []
    good = 0
    for folder in folders:
        if good < 2:
            good += not verify(folder)
        elif _ours(folder) and not is_best(run_dir, folder):
            _remove(folder)
            removed.append(folder)
    return removed


def sweep(run_dir: Path) -> int:
    """Remove what killed saves left behind; returns how many. Call it at start, while the run's lock is held."""
    parent = run_dir / "checkpoints"
    if not parent.is_dir() or parent.is_symlink():
        return 0
    left = [parent / name for name in os.listdir(parent) if TEMPORARY.fullmatch(name)]
    left = [folder for folder in left if _real_folder(folder)]
    for folder in left:
        shutil.rmtree(folder)
    return len(left)


def is_best(run_dir: Path, folder: Path) -> bool:
    """Whether the ``best`` link leads to this checkpoint."""
    return (run_dir / "best").is_symlink() and os.path.realpath(run_dir / "best") == os.path.realpath(folder)


def mark_best(run_dir: Path, folder: Path) -> None:
    """Point ``best`` at a checkpoint by a relative link, so that the run folder can be moved."""
    durable.replace_link(run_dir / "best", str(folder.relative_to(run_dir)))


def repair_best(run_dir: Path) -> None:
    """Point ``best`` at the newest checkpoint saved as best: a kill may fall between the save and the link."""
    for folder in reversed(steps(run_dir)):
        with contextlib.suppress(CheckpointError):
            if read_manifest(folder).best:
                if not is_best(run_dir, folder):
                    mark_best(run_dir, folder)
                return


def _remove(folder: Path) -> None:
    # Renamed first: a kill halfway leaves something to sweep, not a checkpoint with files missing. A full disk has
    # room for another name, and not for a folder to move it into.
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    os.rename(folder, aside)
    shutil.rmtree(aside)


def _ours(folder: Path) -> bool:
    return (
        not folder.parent.is_symlink()
        and _real_folder(folder)
        and all(name == MANIFEST or MEMBER.fullmatch(name) for name in os.listdir(folder))
        and all(stat.S_ISREG(entry.lstat().st_mode) for entry in folder.iterdir())
    )


def _real_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)
