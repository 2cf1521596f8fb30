"""``auto_batch_size``: the largest micro-batch that stays within a share of the device's memory. The step stays the same."""

from __future__ import annotations

from gptmill.plan.batch import with_batch_size
from gptmill.plan.fit import needs
from gptmill.plan.flops import has_closed_form
from gptmill.plan.types import Plan


def most_micro_steps(plan: Plan) -> int:
    """Of one sequence each."""
    return plan.effective_batch_size // plan.world_size


def least_micro_steps(plan: Plan) -> int:
    """Within max_batch_size."""
    return -(-plan.effective_batch_size // ((plan.max_batch_size or plan.effective_batch_size) * plan.world_size))


def in_micro_steps(plan: Plan, micro_steps: int) -> Plan:
    """The same step in this many micro-steps of each device."""
    return with_batch_size(plan, -(-plan.effective_batch_size // (micro_steps * plan.world_size)))


def choose_batch_size(plan: Plan) -> Plan:
    """The fewest micro-steps whose memory stays below ``memory_target``; the plan as it is where that cannot be told.

    One sequence at a time, where even that is beyond the target: preflight says whether it can be tried at all.
    """
    if plan.memory_target is None or not has_closed_form(plan.shape):
        return plan
    low, high = least_micro_steps(plan), max(1, most_micro_steps(plan))
    while low < high:
        middle = (low + high) // 2
        if needs(in_micro_steps(plan, middle)) <= plan.memory_target:
            high = middle
        else:
            low = middle + 1
    return in_micro_steps(plan, high)
