"""When memory runs out in the middle of a run: the same steps go on in smaller micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gptmill.errors import GptmillError, is_out_of_memory
from gptmill.plan.batch import with_batch_size
from gptmill.plan.types import Plan


class TooLarge(Exception):
    """The micro-batch did not fit; ``plan`` is the same run with half of it.

    Args:
        says: one sentence for a person.
    """

    def __init__(self, plan: Plan, says: str) -> None:
        super().__init__(says)
        self.plan, self.says = plan, says


@contextmanager
def within_memory(plan: Plan) -> Iterator[None]:
    """Turn what torch raises when an allocation fails into TooLarge. The weights are as they were before the step.

    Raises:
        GptmillError: micro-batches of one sequence do not fit either, or several processes would have to agree.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        smaller, was = with_batch_size(plan, max(1, plan.batch_size // 2)), plan.batch_size
    else:
        return
    # out here nothing refers to the tensors of the step any more
    if was == 1:
        raise GptmillError("out of memory with batch_size=1: lower block_size or the size of the model")
    says = f"out of memory with micro-batches of {was} sequences"
    if plan.world_size > 1:
        raise GptmillError(
            f"{says}; try --batch_size={smaller.batch_size} --effective_batch_size={plan.effective_batch_size}, which "
            "takes the same steps"
        )
    if plan.device.startswith("cuda"):
        torch.cuda.empty_cache()
    raise TooLarge(smaller, f"{says}: going on with {smaller.batch_size}, {smaller.micro_steps} a step, the same steps")
