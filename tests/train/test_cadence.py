"""Without a number, the time between checkpoints follows from what one is measured to cost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.saving import BETWEEN_FAILURES, minutes_between
from gptmill.train.cadence import Cadence
from tests.train.small import Never, small_plan


def test_young_s_interval_loses_least() -> None:
    """A run loses stall / interval to saving, and half an interval to each failure: no interval near it loses less."""
    for stall in (0.5, 2.0, 20.0):
        best = 60 * minutes_between(None, stall)

        def lost(interval: float, stall: float = stall) -> float:
            return stall / interval + interval / 2 / BETWEEN_FAILURES

        assert all(lost(best) <= lost(share * best) for share in (0.5, 0.9, 1.1, 2.0))
    assert 60 * minutes_between(None, 2.0) == pytest.approx(588, abs=1)
    assert minutes_between(None, 0.05) == pytest.approx(1.5, abs=0.05)  # resume.md says both
    assert [minutes_between(None, stall) for stall in (None, 0.0, 1e6)] == [10, 1, 60]
    assert minutes_between(0.0, 5.0) == 0 and minutes_between(7.0, 5.0) == 7


class Clock(Single):
    def __init__(self) -> None:
        super().__init__(Place())
        self.time = 0.0

    def now(self) -> float:
        return self.time


@pytest.mark.parametrize("stall", [0.5, 3.0])
def test_the_stall_is_what_steps_wait_for_a_checkpoint(stall: float) -> None:
    plan = replace(small_plan(max_iters=100_000, eval_interval=100_000, always_save_checkpoint=False))
    engine = Clock()
    cadence, saved = Cadence(plan, engine, 0), []
    for step in range(1, 10_000):
        engine.time += 1.0
        if cadence.reason(step, None, False, Never()) == "time":
            saved.append(engine.time)
            cadence.saved(step)
            engine.time += stall  # a group of processes hears the time with the next step
    assert saved[0] == 600
    apart = [after - before for before, after in pairwise(saved[1:])]
    assert apart == pytest.approx([60 * minutes_between(None, stall)] * len(apart), abs=1 + stall)
