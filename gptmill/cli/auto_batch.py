"""``auto_batch_size`` meets the machine: the batch that the plan chose is tried for real before the run begins.

The plan is right within a few percent. What a trial (trial.py) took decides whether there is room for more, or whether
it was too much. Of several processes each tries, all at the same time, and the one that takes most decides for all.
Under fsdp no process can try alone: they take what the plan says.
"""

from __future__ import annotations

import torch

from gptmill.cli.parts import trace_held
from gptmill.cli.ranks import Material
from gptmill.cli.say import say
from gptmill.cli.trial import trial_apart, trial_here
from gptmill.errors import GptmillError
from gptmill.parallel.single import Single
from gptmill.plan.auto_batch import most_allowed
from gptmill.plan.batch import in_micro_steps, with_batch_size
from gptmill.plan.memory import memory_of
from gptmill.plan.types import Plan
from gptmill.units import size

TRIALS = 8


def try_batch_size(plan: Plan, found: Material, asked: bool) -> Plan:
    """The plan with the largest micro-batch that stays within its target when it is tried; says what that took.

    Every process of a run must call it with the same plan; all return the same one.

    Args:
        asked: by auto_batch_size; else the plan is returned as it is.

    Raises:
        GptmillError: not even one sequence at a time can be tried.
    """
    if not asked or plan.strategy == "fsdp":
        return plan
    if plan.memory_target is None:
        say(f"auto_batch_size: how much memory {plan.device_name} has is not known; batch_size={plan.batch_size} stays")
        return plan
    on_gpu = plan.device.startswith("cuda")
    forward = Single(found.engine.place).wrap(found.state.model, plan)  # a trial waits for no other process
    target = plan.memory_target
    fits: tuple[Plan, int] | None = None  # the largest known to, and the bytes it takes
    too_large = in_micro_steps(plan, 1, most_allowed(plan)).batch_size + 1
    candidate = plan
    measured: dict[int, int] = {}  # batch size -> bytes, in the order tried
    for _ in range(TRIALS):
        if found.engine.place.rank == 0:  # each takes seconds, of a large model minutes
            say(f"batch_size={candidate.batch_size}: trying it")
        used = _most(found, trial_here(candidate, found.state, forward) if on_gpu else trial_apart(candidate))
        more = _each(candidate, used, measured)
        if used is not None and used <= target:
            fits = candidate, used
        else:
            too_large = candidate.batch_size
        batch = candidate.batch_size // 2 if used is None else candidate.batch_size + (target - used) // more
        following = _next(plan, batch, fits[0] if fits else None, too_large)
        if following is None:
            break
        candidate = following
    if fits is None and used is None and candidate.batch_size == 1:
        raise GptmillError("out of memory with batch_size=1: lower block_size or the size of the model")
    chosen, held = fits or (with_batch_size(plan, 1), None)
    takes = f"{size(held)} of a target of" if held else "more than the target of"
    each = f" in each of {plan.world_size} processes" if plan.world_size > 1 else ""
    if found.engine.place.rank == 0:
        say(f"batch_size={chosen.batch_size}: takes {takes} {size(plan.memory_target)}{each} when tried")
    return chosen


def _most(found: Material, used: int | None) -> int | None:
    """The bytes of the process that took most; None when any ran out. Every process takes part."""
    found.engine.mean(torch.zeros(()), news=True)
    everywhere = found.engine.share([used])
    return None if None in everywhere else max(took for took in everywhere if took is not None)


def _each(plan: Plan, used: int | None, measured: dict[int, int]) -> int:
    """Bytes that one sequence more costs: by the last two trials, before there are two by the plan."""
    if used is not None:
        measured[plan.batch_size] = used
    if len(measured) > 1:
        (fewer, less), (more, most) = list(measured.items())[-2:]
        return max(1, (most - less) // (more - fewer))
    memory = memory_of(plan, trace=trace_held)
    return max(1, (memory.activations + memory.logits) // plan.batch_size)


def _next(plan: Plan, batch: int, fits: Plan | None, too_large: int) -> Plan | None:
    """The step in micro-batches of about ``batch``, between what fits and what does not; None when nothing lies there.

    Args:
        fits: the largest known to.
        too_large: the least batch size known not to.
    """
    batch = max(1, min(batch, too_large - 1))
    following = with_batch_size(plan, batch)
    if fits is not None and following.batch_size <= fits.batch_size and fits.micro_steps > 1:
        following = in_micro_steps(plan, fits.micro_steps - 1, most_allowed(plan))
    inside = (fits.batch_size if fits else 0) < following.batch_size < too_large
    return following if inside else None
