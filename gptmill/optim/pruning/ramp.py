"""When pruning happens, and how much is pruned by then: functions of the step and the plan."""

from __future__ import annotations

from pathlib import Path

from gptmill.errors import UserError
from gptmill.plan.types import Plan


def sparsity_at(step: int, plan: Plan) -> float:
    """Share of the prunable weights that should be zero after ``step`` updates.

    0 up to pruning_warmup, then a straight line to target_sparsity at pruning_ramp_end, which then holds.
    """
    if step <= plan.pruning_warmup:
        return 0.0
    length = plan.pruning_ramp_end - plan.pruning_warmup
    return plan.target_sparsity * (min(1.0, (step - plan.pruning_warmup) / length) if length > 0 else 1.0)


def target_of(plan: Plan, prunable: int) -> int:
    """Weights that are zero in the end."""
    return round(plan.target_sparsity * prunable)


def require_reachable(plan: Plan, where: Path, pruned: int, prunable: int) -> None:
    """What is pruned stays zero, so a target can only be raised.

    Raises:
        UserError: there are more zeros than the target has.
    """
    if pruned > target_of(plan, prunable):
        share = -(-pruned * 10_000 // prunable) / 10_000  # rounded up, so that it can be typed
        raise UserError(
            f"target_sparsity={plan.target_sparsity:g}: in {where} {pruned:,} of {prunable:,} weights are zero already, "
            f"and what is pruned stays zero; try target_sparsity={share:g} or more, or pruning_method=none, which trains "
            "them all again"
        )


def is_due(step: int, plan: Plan) -> bool:
    """Whether more is pruned after this update: every pruning_interval steps, and from the end of the ramp on.

    The last matters where the step at its end was skipped: the target is then met with the next one.
    """
    return step > plan.pruning_warmup and (step % plan.pruning_interval == 0 or step >= plan.pruning_ramp_end)
