"""Whether a run fits on its device, the largest batch that does, and what to change where it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gptmill.plan.batch import in_micro_steps
from gptmill.plan.memory import Memory, has_formula, memory_of
from gptmill.plan.types import Plan
from gptmill.shapes import ModelShape
from gptmill.units import size

LARGEST_BATCH = 4096
Trace = Callable[[ModelShape], int]  # bytes that a shape with a part from outside holds for backward: memory_of's trace


@dataclass(frozen=True)
class Change:
    """Settings that make a run fit, with the same sequences in every step. ``plan`` has them."""

    plan: Plan
    settings: dict[str, int | bool]

    def __str__(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())


def memory_known(plan: Plan, trace: Trace | None = None) -> Memory | None:
    """The memory bill; None for a part from outside that is not traced."""
    return memory_of(plan, trace=trace) if trace or has_formula(plan.shape) else None


def needs(plan: Plan, trace: Trace | None = None) -> int:
    """Bytes on each device at the worst moment, what is held before the first tensor included."""
    memory = memory_of(plan, trace=trace)
    return memory.peak + memory.context


def fits(plan: Plan, limit: int | None = None, trace: Trace | None = None) -> bool | None:
    """None where the device's memory, or what the model takes, is not known.

    Args:
        limit: bytes; None = all of the device's memory.
    """
    limit = plan.device_memory if limit is None else limit
    return None if limit is None or memory_known(plan, trace) is None else needs(plan, trace) <= limit


def largest_batch(plan: Plan, limit: int | None = None, trace: Trace | None = None) -> int:
    """The most sequences at a time that fit, 0 for none; the step's accumulation is left out of account."""
    limit = plan.device_memory if limit is None else limit
    assert limit is not None
    low, high = (0, 0), (LARGEST_BATCH + 1, 0)  # batch and bytes: the most known to fit, the least known not to
    guess, before = 1, (0, 0)
    while high[0] - low[0] > 1:
        found = (guess, needs(replace(plan, batch_size=guess), trace))
        if found[1] <= limit:
            low = found
        else:
            high = found
        # memory grows nearly in proportion to the batch, so the line through the last two points leads close
        each = (found[1] - before[1]) / (found[0] - before[0])
        guess = found[0] + int((limit - found[1]) // max(each, 1.0))
        guess, before = min(max(guess, low[0] + 1), high[0] - 1), found
    return low[0]


def nearest_fit(plan: Plan, limit: int | None = None, trace: Trace | None = None) -> Change | None:
    """The config nearest to this one that fits: first fewer sequences at a time, then activation checkpointing as well.

    Every step still reads the same sequences. None: not even one sequence fits.
    """
    limit = plan.device_memory if limit is None else limit
    assert limit is not None
    for checkpointing in dict.fromkeys((plan.shape.activation_checkpointing, True)):
        shape = replace(plan.shape, activation_checkpointing=checkpointing)
        changed = split_within(replace(plan, shape=shape), limit, plan.batch_size, trace)
        if needs(changed, trace) <= limit:
            return Change(changed, _settings(changed, checkpointing != plan.shape.activation_checkpointing))
    return None


def split_within(plan: Plan, limit: int, most: int, trace: Trace | None = None) -> Plan:
    """The same step in the fewest micro-steps of at most ``most`` sequences whose memory stays within the limit.

    As small micro-batches as there can be, where even those do not.
    """
    low = in_micro_steps(plan, 1, most).micro_steps
    high = max(low, plan.effective_batch_size // plan.world_size)
    while low < high:
        middle = (low + high) // 2
        if needs(in_micro_steps(plan, middle, most), trace) <= limit:
            high = middle
        else:
            low = middle + 1
    return in_micro_steps(plan, high, most)


def _settings(plan: Plan, checkpointing: bool) -> dict[str, int | bool]:
    """What to type for this batch; accumulation where it is all there is to say."""
    accumulation, wanted = plan.gradient_accumulation_steps, plan.effective_batch_size
    even = plan.batch_size * accumulation == wanted
    step = {"gradient_accumulation_steps": accumulation} if even else {"effective_batch_size": wanted}
    return {"batch_size": plan.batch_size, **step, **({"activation_checkpointing": True} if checkpointing else {})}


def refusal(plan: Plan, limit: int | None = None, trace: Trace | None = None) -> str | None:
    """The one sentence about a run that does not fit, with the nearest config that does; None when it fits."""
    if fits(plan, limit, trace) is not False:
        return None
    limit = plan.device_memory if limit is None else limit
    assert limit is not None
    change = nearest_fit(plan, limit, trace)
    says = f"batch_size={plan.batch_size}: needs {size(needs(plan, trace))} of {size(limit)} on {plan.device_name}"
    if change is None:
        alone = needs(replace(plan, batch_size=1), trace)
        least = f", and one sequence {size(alone)}" if alone < needs(plan, trace) else ""
        return f"{says}{least}; try a smaller model or block_size, or a larger device"
    return f"{says}; nearest that fits: {change}"
