"""The run folder: which one a run gets, that only one process has it, and the files that explain it.

out/<run>/config.json  plan.json  metrics.jsonl  checkpoints/  best  source/  tokenizer/
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gptmill.errors import TryAgain, UserError
from gptmill.plain import read_plain
from gptmill.track.describe import CONFIG, OURS, TEMPORARY, is_run
from gptmill.track.jsonl import finished
from gptmill.track.lock import LOCK, lock_folder

LOGS = ("logs", "output.log", "error.txt")  # of what starts a run, a script or a study: there before it is
Complete = Callable[[dict[str, Any]], bool]


@dataclass
class RunDir:
    """A run folder that this process holds until it ends.

    Args:
        resumed: an unfinished run was found here and is to be continued.
        finished: the summary of the completed run that --resume found; there is nothing left to do but print it.
        notices: sentences a person should see.
    """

    path: Path
    lock: int  # file descriptor; the system releases the lock when the process ends, however it ends
    resumed: bool = False
    finished: dict[str, Any] | None = None
    notices: list[str] = field(default_factory=list)

    def release(self) -> None:
        os.close(self.lock)


def open_run_dir(
    out_dir: str | Path,
    *,
    explicit: bool,
    resume: bool = False,
    overwrite: bool = False,
    complete: Complete,
    clear: bool = True,
) -> RunDir:
    """Find or make the folder for a run, and lock it.

    Args:
        explicit: ``out_dir`` was a flag, so it is meant exactly; else a used X gives way to X-2, X-3, ...
        complete: tells from the run_done record of a run whether there is nothing left to do.
        clear: whether ``overwrite`` deletes the old run now; else the caller does when the new one is written.

    Raises:
        UserError: the folder is used, is not a run folder, or cannot be written.
        TryAgain: another process has it; the message names its pid and host.
    """
    base = Path(out_dir)
    if resume and overwrite:
        raise UserError("--resume continues a run and --overwrite deletes it: give one of them")
    try:
        if resume:
            return _resume(base, explicit, complete)
        if overwrite:
            if base.is_dir() and _used(base):
                _require_run(base, "--overwrite deletes runs only")
            run = _hold(base)
            if clear:
                _clear(run.path)
            return run
        return _exact(base) if explicit else _next_free(base)
    except OSError as error:
        raise UserError(f"out_dir={base}: {error.strerror} ({error.filename})") from error


def find_run(out_dir: str | Path, explicit: bool) -> Path | None:
    """The run that --resume goes on with, or None: of several the newest that has not ended, else the newest.

    One whose config.json is damaged counts: who reads it says so.
    """
    base = Path(out_dir)
    try:
        family = [base] if explicit else [path for path in _family(base) if path == base or not _named_so(path)]
        runs = [path for path in family if is_run(path) or _was_run(path)]
    except OSError as error:
        raise UserError(f"out_dir={base}: {error.strerror} ({error.filename})") from error
    unfinished = [path for path in runs if finished(path) is None]
    return (unfinished or runs)[-1] if runs else None


def _exact(base: Path) -> RunDir:
    run = _hold(base)
    if _used(base):
        run.release()
        _require_run(base, "give an empty folder or a new name")
        done = finished(base)
        what = f"a run that ended at iter {done['iter']}" if done else "an unfinished run"
        raise UserError(f"out_dir={base}: holds {what}; add --resume to continue it or --overwrite to delete it")
    return run


def _next_free(base: Path) -> RunDir:
    number = 1
    while True:
        path = _numbered(base, number)
        number += 1
        if path.exists() and (not path.is_dir() or _used(path)):
            continue
        try:
            run = _hold(path)
        except TryAgain:
            continue
        if _used(path):  # another process took it between the look and the lock, and has ended since
            run.release()
            continue
        if path != base:
            run.notices.append(f"{base} is used: this run goes to {path}")
        return run


def _resume(base: Path, explicit: bool, complete: Complete) -> RunDir:
    runs = [path for path in ([base] if explicit else _family(base)) if path.is_dir() and _used(path)]
    if not runs:
        run = _hold(base)
        run.notices.append(f"{base} holds no run to resume: starting a new one")
        return run
    for path in runs:
        _require_run(path, "there is nothing to resume")
    completed = {path: done for path in runs if (done := finished(path)) and complete(done)}
    unfinished = [path for path in runs if path not in completed]
    if unfinished:
        run = _hold(unfinished[-1])
        run.resumed = True
        return run
    run = _hold(runs[-1])
    run.finished = completed[runs[-1]].get("summary") or {}
    return run


def _family(base: Path) -> list[Path]:
    """X, X-2, X-3, ... that exist, by number."""
    pattern = re.compile(re.escape(base.name) + r"(?:-(\d+))?")
    names = os.listdir(base.parent) if base.parent.is_dir() else []
    found = [(int(match[1] or 1), name) for name in names if (match := pattern.fullmatch(name))]
    return [base.parent / name for number, name in sorted(found) if _numbered(base, number).name == name]


def _numbered(base: Path, number: int) -> Path:
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def _used(path: Path) -> bool:
    return any(name not in (LOCK, *LOGS) and not TEMPORARY.fullmatch(name) for name in os.listdir(path))


def _require_run(path: Path, otherwise: str) -> None:
    if is_run(path):
        return
    if _was_run(path):
        state = "damaged" if (path / CONFIG).exists() else "missing"
        says = f"its {CONFIG} is {state}, so nothing here is touched; put it back from a copy, or give another folder"
        raise UserError(f"out_dir={path}: {says}")
    raise UserError(f"out_dir={path}: holds files that are not a run's; {otherwise}")


def _named_so(path: Path) -> bool:
    """Whether a config or an entrance asked for this very name: lm_wikitext-103 is no 103rd lm_wikitext."""
    try:
        asked = json.loads(read_plain(path / CONFIG))["keys"]["out_dir"]
        return Path(asked["value"]) == path and not asked["origin"].startswith("--")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _was_run(path: Path) -> bool:
    return (path / "plan.json").exists() and ((path / CONFIG).exists() or (path / "checkpoints").exists())


def _hold(path: Path) -> RunDir:
    fd, notices = lock_folder(path)
    return RunDir(path, fd, notices=notices)


def _clear(path: Path) -> None:
    """Delete a run's files, and only those; links are removed, never followed."""
    if not _used(path):
        return
    _require_run(path, "--overwrite deletes runs only")
    ours = [name for name in os.listdir(path) if OURS.fullmatch(name)]
    for name in sorted(ours, key=lambda name: name == CONFIG):  # last: a kill halfway leaves a folder we still know
        if stat.S_ISDIR((path / name).lstat().st_mode):
            shutil.rmtree(path / name)
        else:
            (path / name).unlink()
