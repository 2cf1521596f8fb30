"""Which folder the results of a matrix go to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gptmill.cli.say import say
from gptmill.errors import UserError
from gptmill.study.record import Run, recorded, result

KIND = "matrix"
PREFIX = "test_matrix_results"
CONFIG = "config.txt"
NEWEST = "newest"
BEFORE = "before_rerun"


def existing(name: str, prefix: str) -> Path:
    """The folder of earlier results that a person means.

    Raises:
        UserError: there is none.
    """
    if name != NEWEST:
        return Path(os.path.expanduser(name))
    if not (folders := _folders(prefix)):
        raise UserError(f"no {prefix}_* here; `gptmill matrix CONFIG` makes one")
    return folders[-1]


def unfinished(prefix: str, runs: list[Run]) -> Path | None:
    """The newest results, when they are of the same config and flags and some are missing: those are to be finished."""
    folders = _folders(prefix)
    if not folders or recorded(folders[-1], KIND) != runs:
        return None
    if all(result(folders[-1], run).state == "finished" for run in runs):
        return None
    say(f"going on with {folders[-1]}; --out_dir=DIR begins anew")
    return folders[-1]


def _folders(prefix: str) -> list[Path]:
    return sorted(path for path in Path().glob(f"{prefix}_*") if (path / CONFIG).is_file())


def move_aside(study: Path, runs: Sequence[Run]) -> None:
    """What the runs had goes to a folder of its own, so that they begin anew."""
    aside = study / f"{BEFORE}_{datetime.now():%Y%m%d_%H%M%S}"
    for run in runs:
        if (study / run.id).exists():
            aside.mkdir(exist_ok=True)
            os.rename(study / run.id, aside / run.id)
            say(f"{study / run.id}: what it had is in {aside}")
