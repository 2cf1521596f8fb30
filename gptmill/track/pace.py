"""The progress line of a terminal: how far a run is, how fast it goes, when it will be done."""

from __future__ import annotations

import time

from gptmill import units
from gptmill.events import StepDone
from gptmill.track.line_style import mfu_words


class Pace:
    """How fast this process goes and when it will be done, by the wall clock: evaluations and saves included."""

    def __init__(self, first_iter: int, max_iters: int) -> None:
        self._first_iter = first_iter
        self._max_iters = max_iters
        self._began: float | None = None  # after the first step, which may compile
        self._tokens_per_second = 0.0
        self.last: StepDone | None = None

    def step(self, event: StepDone) -> None:
        if self._began is None:
            self._began = time.monotonic()
            self._first_iter = event.iter
        speed = event.tokens / max(event.seconds, 1e-9)
        # smoothed over about ten steps: a single one jumps too much to be read
        self._tokens_per_second += (speed - self._tokens_per_second) * (0.1 if self.last else 1.0)
        self.last = event

    def line(self, width: int, utf8: bool) -> str:
        """'  120/2000 ━━━╸      loss 4.2302  lr 6.0e-04  22.7k tok/s  ETA 12 min 3 s' in ``width`` columns."""
        assert self.last is not None and self._began is not None
        done = f"{self.last.iter:>{len(str(self._max_iters))}}/{self._max_iters} "
        facts = [
            f"loss {self.last.loss:.4f}",
            f"lr {self.last.lr:.1e}",
            f"{units.count(self._tokens_per_second)} tok/s",
            *mfu_words(self.last, "MFU"),
            f"ETA {self.eta() or '-'}".ljust(16),  # else the bar would grow and shrink with it
        ]
        while len(done) + len("  ".join(facts)) + 8 > width and len(facts) > 1:
            facts.pop(1)  # the loss stays; what is left is the nearer to the end the more it matters
        tail = "  " + "  ".join(facts)
        room = max(0, min(30, width - len(done) - len(tail)))
        return (done + bar(self.last.iter / max(1, self._max_iters), room, utf8) + tail)[:width]

    def eta(self) -> str | None:
        """Time until the last step; None before there is a pace, and when it is taken."""
        assert self.last is not None and self._began is not None
        steps = self.last.iter - self._first_iter
        if steps <= 0 or self.last.iter >= self._max_iters:
            return None
        return units.duration((time.monotonic() - self._began) / steps * (self._max_iters - self.last.iter))


def bar(share: float, width: int, utf8: bool) -> str:
    """A bar ``width`` columns wide, ``share`` of it filled."""
    full = round(min(1.0, max(0.0, share)) * width)
    return "━" * full + "─" * (width - full) if utf8 else "#" * full + "-" * (width - full)
