"""Learning-rate schedules: ``SCHEDULES[name](step, plan)`` is the rate of the update taken after ``step`` updates.

Pure functions of the step, so there is no scheduler state to save.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gptmill.plan.types import Plan
from gptmill.registry import Registry

SCHEDULES: Registry[Callable[[int, Plan], float]] = Registry("schedule")


def lr_at(step: int, plan: Plan) -> float:
    """The learning rate of update ``step`` (0-based): linear warmup, then the plan's schedule.

    Warmup is nanoGPT's ``lr * (step + 1) / (warmup_iters + 1)``: the first update is never 0, the peak comes right
    after the last warmup step.
    """
    if step < plan.warmup_iters:
        return plan.learning_rate * (step + 1) / (plan.warmup_iters + 1)
    return SCHEDULES[plan.schedule](step, plan)


def progress(step: int, plan: Plan) -> float:
    """Share of the decay that is behind us, clamped to [0, 1]; a horizon within warmup counts as over."""
    horizon = plan.lr_decay_iters - plan.warmup_iters
    if horizon <= 0:
        return 1.0
    return min(1.0, max(0.0, (step - plan.warmup_iters) / horizon))


@SCHEDULES.register("cosine")
def cosine(step: int, plan: Plan) -> float:
    """Half a cosine from learning_rate down to min_lr, which then holds.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.
    """
    share = 0.5 * (1.0 + math.cos(math.pi * progress(step, plan)))
    return plan.min_lr + share * (plan.learning_rate - plan.min_lr)


@SCHEDULES.register("linear")
def linear(step: int, plan: Plan) -> float:
    """A straight line from learning_rate down to min_lr, which then holds."""
    return plan.learning_rate + progress(step, plan) * (plan.min_lr - plan.learning_rate)


def wsd_decay_start(plan: Plan) -> float:
    """The step at which wsd leaves the peak: after warmup at the earliest."""
    return max(plan.warmup_iters, plan.lr_decay_iters * (1 - plan.decay_fraction))


@SCHEDULES.register("wsd")
def wsd(step: int, plan: Plan) -> float:
    """Warmup, stable, decay: the peak rate until the last ``decay_fraction`` of lr_decay_iters, then down to min_lr.

    The decay is 1 - sqrt, steep at first. A run can be prolonged from any step before it.

    Source: Hu et al. 2024, MiniCPM, arXiv:2404.06395; the form of the decay and its 20%: Haegele et al. 2024,
    arXiv:2405.18392.
    """
    start = wsd_decay_start(plan)
    length = plan.lr_decay_iters - start
    behind = min(1.0, max(0.0, (step - start) / length)) if length > 0 else 1.0
    return plan.learning_rate + math.sqrt(behind) * (plan.min_lr - plan.learning_rate)


@SCHEDULES.register("constant")
def constant(step: int, plan: Plan) -> float:
    """The peak rate for ever."""
    return plan.learning_rate
