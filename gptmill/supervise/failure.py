"""How an attempt to run ended that did not end well, and what is to be done about it."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from gptmill.errors import CheckpointError, DataError, UserError

NEVER_RETRIED = (UserError.exit_code, DataError.exit_code, CheckpointError.exit_code)
SAME_STEP = 3  # failures at one step, after which it is no accident
FIRST_PAUSE = 1.0  # seconds; doubles while nothing is gained
LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Failure:
    """One attempt's end.

    Args:
        codes: exit code by rank, as Popen has it: negative for a signal. Without those that the supervisor killed.
        iter: optimizer steps taken; None when no process came so far.
        sequences: first and last training sequence of the step that was not finished.
        hung: all were silent for longer than they had asked for.
        decided: a process ended by a decision, such as on_spike=stop.
        found: what was seen, in a clause.
    """

    codes: dict[int, int]
    iter: int | None
    sequences: tuple[int, int] | None
    hung: bool
    decided: bool
    found: str

    @property
    def final(self) -> bool:
        """Whether to start again would end in the same way."""
        codes = self.codes.values()
        return not self.hung and (any(code in NEVER_RETRIED for code in codes) or (1 in codes and self.decided))

    @property
    def exit_code(self) -> int:
        """That of the process that knows most: what it decided comes before what it died of."""
        codes = sorted(128 - code if code < 0 else code for code in self.codes.values())
        return next((code for code in codes if code in NEVER_RETRIED), codes[0] if codes else 1)


class Retries:
    """Decides after each failure whether there is another attempt, and after which pause."""

    def __init__(self) -> None:
        self._last: Failure | None = None
        self._same = 0
        self._furthest = -1
        self._pause = FIRST_PAUSE

    def pause(self, failure: Failure) -> float | None:
        """Seconds until the next attempt; None: there is none."""
        same = self._last is not None and self._last.iter == failure.iter
        self._same = self._same + 1 if same else 1
        self._last = failure
        if failure.final or self._same >= SAME_STEP:
            return None
        reached = -1 if failure.iter is None else failure.iter
        if reached > self._furthest:
            self._furthest, self._pause = reached, FIRST_PAUSE
        else:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return self._pause

    def reason_to_stop(self, failure: Failure) -> str:
        """Why there is no other attempt, for a failure that is not final by itself."""
        if failure.iter is None:
            return f"{SAME_STEP} attempts ended before the first step"
        batch = "" if failure.sequences is None else " (sequences {} to {})".format(*failure.sequences)
        return f"{SAME_STEP} attempts ended in step {failure.iter + 1}{batch}: no accident"


def cause(code: int) -> str:
    """'exit code 1', 'SIGKILL'."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
