"""How a checkpoint is taken, and how often that is worth what it costs."""

from __future__ import annotations

from math import sqrt

from gptmill.plan.optimizer import FLOAT32, state_bytes
from gptmill.plan.pruning import kept_bytes
from gptmill.plan.types import Plan

BEHIND = (
    2**28
)  # bytes of a state that is copied, and written while training goes on; less is on the disk sooner than it is copied
FIRST = 10.0  # minutes, while it is not known what one costs
BETWEEN_FAILURES = 24 * 3600.0  # seconds, assumed: one a day
SHORTEST, LONGEST = 1.0, 60.0  # minutes


def checkpoint_bytes(plan: Plan) -> int:
    """Weights, optimizer state and masks on the disk. Where the weights are an average, those that train are there besides."""
    copies = 2 if plan.base_optimizer == "schedule_free_adamw" else 1
    return copies * FLOAT32 * plan.params + state_bytes(plan) + kept_bytes(plan)


def minutes_between(asked: float | None, stall: float | None) -> float:
    """Minutes without a checkpoint at most; 0 = any number.

    What saving costs and what a failure loses are least together at sqrt(2 x stall x time between failures).
    Source: Young 1974, A first order approximation to the optimum checkpoint interval, doi:10.1145/361147.361115.

    Args:
        asked: checkpoint_minutes; None works it out.
        stall: seconds that the steps wait for one checkpoint; None: not known yet.
    """
    if asked is not None:
        return asked
    if stall is None:
        return FIRST
    return min(LONGEST, max(SHORTEST, sqrt(2 * stall * BETWEEN_FAILURES) / 60))
