"""The forecast against the training loop's own rules, followed step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gptmill.config.schema import Config
from gptmill.events import EvalDone
from gptmill.plan.devices import find_device, machine_of
from gptmill.plan.plan import make_plan
from gptmill.plan.roofline import Pace
from gptmill.plan.time import Costs, batches_per_evaluation, checkpoints, evaluations, forecast
from gptmill.plan.types import Plan
from gptmill.train.cadence import due
from gptmill.train.signals import StopOnSignal
from tests.plan.facts import data

PACE = Pace(0.25, 0.5, forward=0.125, slowest=0.9, fastest=1.1, basis="measured", because="a test")
COSTS = Costs(start=4.0, compiling=20.0, checkpoint=3.0, closing=1.0)


def planned(**keys: Any) -> Plan:
    small = {"batch_size": 4, "gradient_accumulation_steps": 2, "block_size": 64, "checkpoint_minutes": 0}
    return make_plan(
        Config(**{**small, **keys}), data=data(train=64_001, val=6_401), machine=machine_of(find_device("a100"))
    )


def followed(plan: Plan, step: float, evaluation: float) -> tuple[int, int, float | None]:
    """Evaluations, checkpoints and seconds to the first one, as gptmill/train/loop.py would come by them."""
    clock, saved_at, evaluated, saved, first = 0.0, 0.0, 0, 0, None
    stop = StopOnSignal()
    for at in range(plan.max_iters + 1):
        done, event = at == plan.max_iters, None
        if done or plan.evaluates_after(at):
            event, evaluated, clock = (
                EvalDone(at, 1.0, 1.0, best=True, seconds=evaluation),
                evaluated + 1,
                clock + evaluation,
            )
        if due(plan, at, (clock - saved_at) / 60, COSTS.checkpoint, event, done, stop) and at > 0:
            saved, saved_at, first = saved + 1, clock, clock if first is None else first
        clock += 0 if done else step
    return evaluated, saved, first


CADENCES = [
    {"max_iters": 1000, "eval_interval": 100},
    {"max_iters": 1001, "eval_interval": 100},
    {"max_iters": 99, "eval_interval": 100},
    {"max_iters": 100, "eval_interval": 100},
    {"max_iters": 1000, "eval_interval": 250, "snapshot_interval": 100},
    {"max_iters": 1000, "eval_interval": 1000, "snapshot_interval": 300},
    {"epochs": 3, "eval_interval": "epoch"},
    {"max_iters": 300, "eval_interval": "epoch"},
    {"max_iters": 1},
]


@pytest.mark.parametrize("keys", CADENCES, ids=str)
def test_evaluations_and_checkpoints_are_those_of_the_loop(keys: dict[str, Any]) -> None:
    plan = planned(**keys)
    evaluated, saved, first = followed(plan, 1.0, 2.0)
    assert (evaluations(plan), checkpoints(plan, 1.0, 2.0, COSTS.checkpoint)) == (evaluated, saved)
    pace = Pace(0.25, 0.5, 2.0 / batches_per_evaluation(plan), 1, 1, "measured", "")
    time = forecast(plan, pace, Costs(0, 0, 0))
    assert time and time.first_checkpoint == pytest.approx(first, abs=1e-9)


def test_checkpoints_by_the_clock_are_counted_within_one() -> None:
    plan = planned(max_iters=10_000, eval_interval=5000, checkpoint_minutes=10)
    _, saved, first = followed(plan, 1.0, 2.0)
    assert abs(checkpoints(plan, 1.0, 2.0, COSTS.checkpoint) - saved) <= 2
    time = forecast(plan, Pace(0.25, 0.5, 2.0 / batches_per_evaluation(plan), 1, 1, "measured", ""), Costs(0, 0, 0))
    assert time and time.first_checkpoint == pytest.approx(first, abs=2.0)
    # steps that take longer than the interval: one checkpoint each
    slow = planned(max_iters=20, eval_interval=100, checkpoint_minutes=10)
    assert checkpoints(slow, 1000.0, 2.0, COSTS.checkpoint) == pytest.approx(followed(slow, 1000.0, 2.0)[1], abs=1)


def test_a_split_is_never_read_twice_in_one_evaluation() -> None:
    assert batches_per_evaluation(planned(eval_iters=10)) == 20
    assert batches_per_evaluation(planned(eval_iters=200)) == 200 + 25  # val has 100 windows of 64, four at a time
    shared = replace(planned(eval_iters=200), world_size=8)  # 200 and 25 batches over eight devices
    assert batches_per_evaluation(shared) == 25 + 4


def test_the_whole_is_the_sum_of_its_parts_worked_by_hand() -> None:
    time = forecast(planned(max_iters=100, eval_interval=50, eval_iters=10), PACE, COSTS)
    assert time
    # a step is two micro-steps and an update, 1 s; three evaluations of 20 batches; checkpoints at 50 and 100
    assert time.parts == {"training": 100.0, "evaluation": 7.5, "checkpoints": 6.0, "start": 25.0}
    assert (time.step, time.seconds, time.tokens_per_second) == (1.0, 138.5, 512.0)
    assert time.first_checkpoint == 4 + 20 + 2.5 + 50 + 2.5 + 3
    assert (time.shortest, time.longest) == (138.5 / 1.1, 138.5 / 0.9)


def test_devices_share_the_micro_steps() -> None:
    one, two = (
        make_plan(
            Config(batch_size=16, gradient_accumulation_steps=8), data=None, machine=machine_of(find_device("a100")),
            world_size=n,
        )
        for n in (1, 2)
    )  # fmt: skip
    alone, shared = forecast(one), forecast(two)
    assert alone and shared and alone.mfu and shared.mfu
    assert 1.9 < shared.tokens_per_second / alone.tokens_per_second < 2.0
    assert shared.mfu == pytest.approx(alone.mfu, rel=0.05)


def test_nothing_is_saved_by_a_run_without_steps() -> None:
    time = forecast(planned(max_iters=0, eval_only=True), PACE, COSTS)
    assert time and time.first_checkpoint is None and time.parts["checkpoints"] == 0
