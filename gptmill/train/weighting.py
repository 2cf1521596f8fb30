"""The loss of a step is the mean over all of its targets that count, however they fall on micro-batches and processes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gptmill.plan.types import Plan
from gptmill.targets import sequences_of


def targets_of_step(plan: Plan, take: Callable[[int, int], np.ndarray], first: int) -> float:
    """Targets of a step that begins with sequence ``first``, over all processes, in sequences.

    Where prompts are only read, every process looks at the whole step: its windows follow from their numbers alone, which
    is cheaper than asking the others.
    """
    if plan.counted_tokens is None:
        return plan.effective_batch_size
    return sequences_of(take(first, plan.effective_batch_size))


def parts_of(whole: float, tokens_BS: np.ndarray, world_size: int) -> float:
    """What a micro-batch's mean loss is divided by, so that the sum over micro-batches, averaged over processes, is the
    mean over the step's ``whole``. One without a target has a loss of 0 already."""
    mine = sequences_of(tokens_BS)
    return whole / (mine * world_size) if mine else 1.0
