"""``auto_batch_size``: the largest micro-batch that stays within a share of the device's memory. The step stays the same."""

from __future__ import annotations

from gptmill.plan.fit import split_within
from gptmill.plan.flops import has_closed_form
from gptmill.plan.types import Plan


def most_allowed(plan: Plan) -> int:
    """Sequences of a micro-batch at most, whatever memory there is."""
    return plan.max_batch_size or plan.effective_batch_size


def choose_batch_size(plan: Plan) -> Plan:
    """The fewest micro-steps whose memory stays below ``memory_target``; the plan as it is where that cannot be told.

    One sequence at a time, where even that is beyond the target: preflight says whether it can be tried at all.
    """
    if plan.memory_target is None or not has_closed_form(plan.shape):
        return plan
    return split_within(plan, plan.memory_target, most_allowed(plan))
