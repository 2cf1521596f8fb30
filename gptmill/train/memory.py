"""When memory runs out in the middle of a run: the same steps go on in smaller micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from gptmill.errors import GptmillError, is_out_of_memory
from gptmill.plan.batch import with_batch_size
from gptmill.plan.types import Plan
from gptmill.train.device import give_back_memory

R = TypeVar("R")
# Once it had no memory for a kernel that it writes, oneDNN has failed at every one after it in this process, however much
# was free (docs/log.md, 2026-11-22); without it matrix products in bfloat16 are slow, and go on
ONEDNN_FAILED = "could not create a primitive"


def fitting(plan: Plan, work: Callable[[Plan], R]) -> tuple[Plan, R, list[str]]:
    """Do the work of a plan, in ever smaller micro-batches until it fits.

    Args:
        work: leaves everything as it was when an allocation fails.

    Returns:
        the plan whose work was done, what came of it, and a sentence for each time that memory ran out.

    Raises:
        GptmillError: micro-batches of one sequence do not fit either, or several processes would have to agree.
    """
    says: list[str] = []
    while True:
        try:
            return plan, work(plan), says
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if ONEDNN_FAILED in str(error):
                torch.backends.mkldnn.set_flags(False)
        # out here nothing refers to the tensors of the work any more
        if plan.batch_size == 1:
            raise GptmillError("out of memory with batch_size=1: lower block_size or the size of the model")
        plan, what = with_batch_size(plan, plan.batch_size // 2), f"out of memory with batch_size={plan.batch_size}"
        if plan.world_size > 1:
            raise GptmillError(
                f"{what}; try --batch_size={plan.batch_size} --effective_batch_size={plan.effective_batch_size}, "
                "which takes the same steps"
            )
        give_back_memory(plan.device)
        says.append(f"{what}: going on with {plan.batch_size}, {plan.micro_steps} micro-batches a step, the same steps")
