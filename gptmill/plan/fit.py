"""Whether a run fits on its device, the largest batch that does, and what to change where it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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
    share = plan.effective_batch_size // plan.world_size
    for checkpointing in dict.fromkeys((plan.shape.activation_checkpointing, True)):
        shape = replace(plan.shape, activation_checkpointing=checkpointing)
        for batch in _divisors(
            share, at_most=min(plan.batch_size, largest_batch(replace(plan, shape=shape), limit, trace))
        ):
            steps = share // batch * plan.world_size
            changed = replace(
                plan, shape=shape, batch_size=batch, gradient_accumulation_steps=steps, micro_steps=share // batch
            )
            if needs(changed, trace) > limit:
                continue
            settings: dict[str, int | bool] = {"batch_size": batch, "gradient_accumulation_steps": steps}
            if checkpointing != plan.shape.activation_checkpointing:
                settings["activation_checkpointing"] = True
            return Change(changed, settings)
    return None


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
        return f"{says}, and one sequence {size(alone)}; try a smaller model or block_size, or a larger device"
    return f"{says}; nearest that fits: {change}"


def _divisors(n: int, at_most: int) -> list[int]:
    """Largest first."""
    return [d for d in range(at_most, 0, -1) if n % d == 0]
