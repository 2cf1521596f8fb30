"""Which of several processes the others wait for. A step takes all of them as long as the slowest, so what is compared is
what each does before it needs anything of the others: reading, and the forward pass, or under FSDP, where that waits, the update.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median, median_low

from gptmill.events import Alarm, Event, RanksTimed
from gptmill.parallel.single import Single
from gptmill.plan.types import Plan

EVERY = 10.0  # seconds between two looks, of which each costs the processes one exchange
STEPS = 5  # that a look needs at least
SLOWER = 1.25  # times the median of all: slow ...
LOSS = 0.02  # ... where that also costs so much of a step
LOOKS = 3  # in a row, before somebody is told


@dataclass(frozen=True)
class Pace:
    """What one process took alone in each step since the last look: median and 95th percentile [seconds]."""

    rank: int
    host: str
    p50: float
    p95: float


class Stragglers:
    """Collects this process's times, and compares them with those of the others now and then.

    Args:
        engine: of those processes; its clock is one that all read alike, so all look at the same step.
    """

    def __init__(self, plan: Plan, engine: Single) -> None:
        self._alone = ("data", "update") if plan.strategy == "fsdp" else ("data", "forward")
        self._words = "reading and the update" if plan.strategy == "fsdp" else "reading and the forward pass"
        self._engine, self._host = engine, socket.gethostname()
        self._looked = engine.now()
        self._spent: list[float] | None = None  # seconds alone, by step; the first, which may compile, is not one
        self._steps: list[float] = []  # seconds of the same steps
        self._slow: Counter[int] = Counter()  # looks in a row, by rank
        self._due = False

    @property
    def is_due(self) -> bool:
        """Whether this step is one to look at; the same in all processes."""
        return self._due

    def begin(self) -> None:
        """A step begins."""
        self._due = len(self._steps) >= STEPS and self._engine.now() - self._looked >= EVERY

    def finish(self, laps: Mapping[str, float], seconds: float) -> None:
        """A step took so many seconds, with laps as the stopwatch names them."""
        if self._engine.place.world_size == 1:
            return
        if self._spent is None:
            self._spent = []
            return
        self._spent.append(sum(laps.get(name, 0.0) for name in self._alone))
        self._steps.append(seconds)

    def mine(self) -> Pace:
        ordered = sorted(self._spent or [0.0])
        p95 = ordered[round(0.95 * (len(ordered) - 1))]
        return Pace(self._engine.place.rank, self._host, median(ordered), p95)

    def compare(self, iter: int, paces: list[Pace]) -> list[Event]:
        """What follows from the times of all; a new look begins."""
        step, steps = median(self._steps), len(self._steps)
        self._spent, self._steps, self._looked = [], [], self._engine.now()
        usual = median_low([pace.p50 for pace in paces])
        events: list[Event] = [
            RanksTimed(
                iter,
                steps,
                hosts=[pace.host for pace in paces],
                p50_ms=[pace.p50 * 1e3 for pace in paces],
                p95_ms=[pace.p95 * 1e3 for pace in paces],
            )
        ]
        for pace in paces:
            slow = pace.p50 >= SLOWER * usual and pace.p50 - usual >= LOSS * step
            self._slow[pace.rank] = self._slow[pace.rank] + 1 if slow else 0
            if self._slow[pace.rank] == LOOKS:
                events.append(Alarm(iter, "slow_rank", self._says(pace, usual)))
        return events

    def _says(self, pace: Pace, usual: float) -> str:
        return (
            f"rank {pace.rank} on {pace.host} is slow: {self._words} take it {pace.p50 * 1e3:.1f} ms a step, where the "
            f"median of all is {usual * 1e3:.1f} ms, and all wait for it; look at its clock, its heat, who else uses it"
        )
