"""Processes that each have the whole model must have the same one, to the bit. Where they have not, a device computes wrongly."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, distributed, nn

from gptmill.train.sharing import is_split

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # integers as wide as a number, in bytes


def others_disagree(model: nn.Module) -> str | None:
    """A sentence about the ranks whose weights are not those of most; None where all agree, or nobody has another copy.

    All processes must ask. A flipped bit in the weights shows at once, one in a gradient or a moment after the update.
    """
    if not distributed.is_initialized() or is_split(model):
        return None
    mine = checksum(model)
    found = [torch.zeros_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, mine)
    sums = [int(each) for each in found]
    (most, times), *rest = Counter(sums).most_common()
    if not rest:
        return None
    if times == rest[0][1]:
        return f"the weights of ranks {_list(range(len(sums)))} are not the same, and it cannot be told whose are wrong"
    odd = [rank for rank, each in enumerate(sums) if each != most]
    return f"the weights of rank{'s' * (len(odd) > 1)} {_list(odd)} are not those of the others"


def checksum(model: nn.Module) -> Tensor:
    """Sum of all bits' integers, int64 [1]: any one flipped bit changes it."""
    sums = [p.detach().view(BITS[p.element_size()]).sum(dtype=torch.int64) for p in model.parameters()]
    return torch.stack(sums).sum().reshape(1)


def _list(ranks: list[int] | range) -> str:
    return ", ".join(map(str, ranks))
