"""How far a study is while it goes, and how long the rest will take."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from gptmill.plain import read_plain
from gptmill.study.record import Result, Run


@dataclass
class Going:
    """A process that trains.

    Args:
        place: which of the places it has, from 0.
        beats: where it tells of itself.
        max_iters: None until its plan is written.
    """

    run: Run
    place: int
    process: subprocess.Popen[bytes]
    beats: Path
    max_iters: int | None = None
    iter: int = 0

    @property
    def share(self) -> float:
        """Of its steps, those taken."""
        return min(1.0, self.iter / self.max_iters) if self.max_iters else 0.0


@dataclass
class Standing:
    """How far the study is: what it tells whoever watches.

    Args:
        ended: results of this call's runs, in the order they ended, those found finished first.
        work: share of a run's steps, summed over what this call has done itself.
    """

    going: list[Going] = field(default_factory=list)
    ended: list[Result] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    work: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def left(self, n_runs: int) -> float | None:
        """Seconds until all of ``n_runs`` have ended, as fast as it went so far; None: nothing to tell it by."""
        shares = sum(each.share for each in self.going)
        rest = n_runs - len(self.ended) - shares
        done = self.work + shares
        return rest * (time.monotonic() - self.began) / done if done > 0.02 else None


def max_iters(folder: Path) -> int | None:
    """Of a run, by its plan; None until that is written."""
    try:
        return int(json.loads(read_plain(folder / "plan.json"))["max_iters"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
