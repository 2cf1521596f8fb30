"""A process is called slow when all wait for it again and again, and only then; tests/parallel holds it in real processes."""

from __future__ import annotations

import numpy as np
import pytest

from gptmill.events import Alarm, RanksTimed
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.train.stragglers import EVERY, LOOKS, STEPS, Pace, Stragglers
from tests.train.small import small_plan

STEP = 0.1  # seconds
USUAL = (0.030, 0.033, 0.030, 0.031)  # seconds alone, by rank


class Clock(Single):
    seconds = 0.0

    def now(self) -> float:
        return self.seconds


def looked(times: list[tuple[float, ...]]) -> tuple[list[RanksTimed], list[Alarm]]:
    """What comes of looks in which the ranks take so long alone."""
    watcher = Stragglers(small_plan(), Clock(Place(world_size=4)))
    watcher.finish({"data": 9.0, "forward": 9.0}, 99.0)  # it compiles
    found = []
    for number, each in enumerate(times, 1):
        for _ in range(STEPS):
            watcher.finish({"data": 0.01, "forward": 0.02, "backward": 0.06}, STEP)
        assert watcher.mine().p50 == pytest.approx(0.03)
        found += watcher.compare(number, [Pace(rank, f"host{rank}", p50, 2 * p50) for rank, p50 in enumerate(each)])
    return [event for event in found if isinstance(event, RanksTimed)], [e for e in found if isinstance(e, Alarm)]


def slow(seconds: float, rank: int = 2) -> tuple[float, ...]:
    return (*USUAL[:rank], seconds, *USUAL[rank + 1 :])


def test_a_rank_that_is_slow_in_look_after_look_is_named_once_and_again_when_it_recovered() -> None:
    looks, alarms = looked([slow(0.06)] * (LOOKS + 4) + [USUAL] + [slow(0.06)] * LOOKS)
    assert [alarm.iter for alarm in alarms] == [LOOKS, 2 * LOOKS + 5]
    assert alarms[0].kind == "slow_rank" and alarms[0].action == "warn"
    assert alarms[0].says.startswith(
        "rank 2 on host2 is slow: reading and the forward pass take it 60.0 ms a step, where"
    )
    assert "median of all is 31.0 ms" in alarms[0].says
    assert looks[0].p50_ms == pytest.approx([30, 33, 60, 31]) and looks[0].p95_ms == pytest.approx([60, 66, 120, 62])
    assert (looks[0].hosts, looks[0].steps) == (["host0", "host1", "host2", "host3"], STEPS)


@pytest.mark.parametrize(
    "times",
    [
        [slow(0.06), slow(0.06), USUAL] * 4,  # now and then
        [slow(0.06, rank % 4) for rank in range(12)],  # everybody in turn
        [slow(0.036)] * 9,  # by a fifth
        [tuple(seconds / 30 for seconds in slow(0.06))] * 9,  # by a hundredth of the step
    ],
)
def test_nobody_is_named_who_is_slow_sometimes_or_hardly(times: list[tuple[float, ...]]) -> None:
    looks, alarms = looked(times)
    assert not alarms and len(looks) == len(times)


def test_of_two_the_slow_one_is_held_against_the_other() -> None:
    watcher = Stragglers(small_plan(), Clock(Place(world_size=2)))
    alarms = []
    for look in range(LOOKS):
        for _ in range(STEPS + 1):
            watcher.finish({"data": 0.0, "forward": 0.03}, STEP)
        alarms += watcher.compare(look, [Pace(0, "a", 0.05, 0.05), Pace(1, "a", 0.03, 0.03)])[1:]
    assert [alarm.says.startswith("rank 0 on a") for alarm in alarms if isinstance(alarm, Alarm)] == [True]


def test_a_look_comes_after_some_seconds_and_some_steps_and_never_in_a_run_of_one_process() -> None:
    for world_size in (1, 2):
        engine = Clock(Place(world_size=world_size))
        watcher, due = Stragglers(small_plan(), engine), []
        for step in range(1, 200):
            watcher.begin()
            due += [step] * watcher.is_due
            watcher.finish({"data": 0.0, "forward": 0.1}, STEP)
            engine.seconds = step * STEP
            if watcher.is_due:
                watcher.compare(step, [watcher.mine()])
        first = round(EVERY / STEP) + 1
        assert due[:1] == ([] if world_size == 1 else [first]) and len(due) == (0 if world_size == 1 else 1)


def test_the_percentiles_are_numpys() -> None:
    watcher, rng = Stragglers(small_plan(), Clock(Place(world_size=2))), np.random.default_rng(0)
    spent = rng.lognormal(size=501)
    for seconds in (0.0, *spent):
        watcher.finish({"data": seconds / 4, "forward": 3 * seconds / 4, "update": 5.0}, STEP)
    p50, p95 = np.percentile(spent, [50, 95])
    assert (watcher.mine().p50, watcher.mine().p95) == (pytest.approx(p50), pytest.approx(p95))
