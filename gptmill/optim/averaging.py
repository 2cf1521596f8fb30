"""Weights to be judged by that are not those that train: an optimizer may have an ``average`` of them.

Such an optimizer has ``average(weight)``: in memory of its own, or the weight itself before there is any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Y = "y"  # in a checkpoint, whose weights are the average: what was in the model, among the moments


def average_of(optimizer: torch.optim.Optimizer) -> Callable[[Tensor], Tensor] | None:
    found: Callable[[Tensor], Tensor] | None = getattr(optimizer, "average", None)
    return found


@contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The average is in the model; afterwards what trains is there again, by copy and so bit for bit."""
    average = average_of(optimizer)
    if average is None:
        yield
        return
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    kept = [weight.detach().clone() for weight in weights]
    try:
        _put(weights, [average(weight) for weight in weights])
        yield
    finally:
        _put(weights, kept)


@torch.no_grad()
def _put(weights: list[Tensor], values: list[Tensor]) -> None:
    for weight, value in zip(weights, values):
        weight.copy_(value)
