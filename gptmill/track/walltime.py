"""Where the hours of a run went: a run's wall time, over every process that worked on it, by what was done in it."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

LONGEST_RESTART = 3600.0  # seconds; a longer gap was somebody's decision
STEP = ("data", "compute", "communication", "optimizer")  # as StepDone.times names them


class WallTime:
    """Adds up records of metrics.jsonl. Steps that were done twice are counted twice.

    Args:
        seconds: from each process's first event to its last, so start-up before that is not in it. Time between two
            processes counts where a supervisor started the second: nobody chose that it should pass.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last: float | None = None
        self._first_step = False
        self._restarting = False
        self._spent = dict.fromkeys((*STEP, "warmup", "evaluation", "checkpoint", "restart"), 0.0)

    def add(self, fields: dict[str, Any]) -> None:
        """Take one record; what a damaged line lacks counts as nothing."""
        now, event = _clock(fields.get("time")), fields["event"]
        if event == "plan_changed":  # written by a process that goes on, before it starts
            return
        passed = (
            max(0.0, now - self._last) if now is not None and self._last is not None else 0.0
        )  # a clock may be set back
        if event == "run_started":
            if not self._restarting or passed > LONGEST_RESTART:
                passed = 0.0
            self._first_step = True
        self.seconds += passed
        if event == "interrupted" or (event == "run_started" and self._restarting):
            self._spend("restart", passed)
        self._restarting = event == "interrupted" and fields.get("action") == "restart"
        if now is not None or event == "run_started":
            self._last = now
        match event:
            case "step_done" if self._first_step:
                self._spend("warmup", fields.get("time_ms"), unit=1e3)
                self._first_step = False
            case "step_done":
                times = fields.get("times_ms")
                for name in STEP:
                    self._spend(name, times.get(name) if isinstance(times, dict) else None, unit=1e3)
            case "eval_done":
                self._spend("evaluation", fields.get("seconds"))
            case "checkpoint_saved":
                self._spend("checkpoint", fields.get("seconds"))

    def split(self) -> dict[str, float]:
        """Seconds by activity; ``warmup`` is the first step of each process, which may compile; they sum to ``seconds``."""
        return {**self._spent, "other": max(0.0, self.seconds - sum(self._spent.values()))}

    def _spend(self, name: str, amount: Any, unit: float = 1.0) -> None:
        if isinstance(amount, int | float) and math.isfinite(amount) and amount >= 0:
            self._spent[name] += amount / unit


def _clock(time: Any) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError):
        return None
