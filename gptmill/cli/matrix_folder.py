"""Which folder the results of a matrix go to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cyclopts import Parameter

from gptmill.cli.say import say
from gptmill.errors import UserError
from gptmill.study.record import Run, recorded, result

KIND = "matrix"
PREFIX = "test_matrix_results"
CONFIG = "config.txt"
NEWEST = "newest"
BEFORE = "before_rerun"


@Parameter(name="*")
@dataclass(frozen=True)
class Folders:
    """Where results go to, or come from.

    Parameters
    ----------
    out_dir
        The folder of the results; without it, test_matrix_results_TIME, or the newest one that is not finished.
    output_dir
        What that name begins with.
    continue_dir
        Go on with the runs of this folder; newest takes the newest.
    rerun_dir
        Train the runs of this folder anew; what they had is moved aside.
    summary
        Train nothing; write the results of this folder (or newest) again, and print them.
    """

    out_dir: Path | None = None
    output_dir: str = PREFIX
    continue_dir: str | None = None
    rerun_dir: str | None = None
    summary: str | None = None

    def named(self) -> str | None:
        """The option that names earlier results, if one does.

        Raises:
            UserError: several do, or one names nothing.
        """
        given = [option for option in ("continue_dir", "rerun_dir", "summary") if getattr(self, option) is not None]
        if len(given) > 1:
            raise UserError(f"{' and '.join(f'--{option}' for option in given)}: give one of them")
        if given and not getattr(self, given[0]):
            raise UserError(f"--{given[0]}=: names no folder; try --{given[0]}={NEWEST}")
        return given[0] if given else None


HERE = Folders()


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


def fresh(prefix: str) -> Path:
    return Path(f"{prefix}_{datetime.now():%Y%m%d_%H%M%S}")


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
