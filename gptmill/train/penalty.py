"""What a loss with a penalty is made of, by the names of the record."""

from __future__ import annotations

from typing import Any

from gptmill.plan.types import Plan

PARTS = ("ce_loss", "penalty", "avg_max_prob")


def loss_parts(plan: Plan, values: list[float]) -> dict[str, Any]:
    """Nothing where no penalty is asked for; of one whose weight is 0, and which is not computed, the cross-entropy alone.

    Args:
        values: cross-entropy, and with a penalty that and the largest probability.
    """
    return {} if plan.penalty_type == "none" else dict(zip(PARTS, values))
