"""When the state is saved: which of the reasons to do so is due."""

from __future__ import annotations

from gptmill.events import EvalDone
from gptmill.parallel.single import Single, Stop
from gptmill.plan.saving import minutes_between
from gptmill.plan.types import Plan


class Cadence:
    """Remembers when it was done last, and what the steps waited for it.

    Args:
        engine: its clock is one that all processes read alike, so that all come to the same end.
        step: that of the state on the disk.
    """

    def __init__(self, plan: Plan, engine: Single, step: int) -> None:
        self._plan, self._engine = plan, engine
        self._saved_step, self._saved_at = step, engine.now()
        self._last_look, self._apart = self._saved_at, 0.0  # seconds between two looks without a save
        self._stall: float | None = None
        self._just_saved = False

    def reason(self, step: int, evaluated: EvalDone | None, done: bool, stop: Stop) -> str | None:
        """Why the state should be saved now, or None; asked after every step."""
        now = self._engine.now()
        apart, self._last_look = now - self._last_look, now
        if self._just_saved:
            self._stall, self._just_saved = max(0.0, apart - self._apart), False
        else:
            self._apart = apart
        minutes = (now - self._saved_at) / 60
        reason = due(self._plan, step, minutes, self._stall, evaluated, done, stop)
        return reason if step > self._saved_step else None

    def saved(self, step: int) -> None:
        """Called when it was done, or was not possible."""
        self._saved_step, self._saved_at, self._just_saved = step, self._engine.now(), True


def due(
    plan: Plan, step: int, minutes: float, stall: float | None, evaluated: EvalDone | None, done: bool, stop: Stop
) -> str | None:
    """The first reason that holds.

    Args:
        minutes: since the last time.
        stall: seconds that the steps waited then; None: not known.
    """
    if stop.signal is not None:
        return "stop"
    if done:
        return "end"
    if evaluated and (evaluated.best or plan.always_save_checkpoint):
        return "eval"
    if plan.snapshot_interval and step % plan.snapshot_interval == 0:
        return "snapshot"
    longest = minutes_between(plan.checkpoint_minutes, stall)
    return "time" if longest and minutes >= longest else None
