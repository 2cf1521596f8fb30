"""State of which this process may hold a share only: parameters under FSDP, the optimizer's moments under ZeRO-1 and FSDP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn

if TYPE_CHECKING:
    from gptmill.train.state import TrainState


def here(tensor: Tensor) -> Tensor:
    """The share of a tensor that lies in this process: all of a plain one."""
    return tensor.to_local() if is_share(tensor) else tensor  # type: ignore[attr-defined]


def is_share(tensor: Tensor) -> bool:
    """Whether it is a DTensor; importing that class takes half as long as torch, and most runs have none."""
    return hasattr(tensor, "to_local")


def updating(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer that holds the moments of this process; ZeroRedundancyOptimizer has one inside."""
    inner = getattr(optimizer, "optim", optimizer)
    assert isinstance(inner, torch.optim.Optimizer)
    return inner


def is_split(model: nn.Module) -> bool:
    """Whether this process holds a share of the parameters only."""
    return any(is_share(p) for p in model.parameters())


def is_shared(state: TrainState) -> bool:
    """Whether other processes hold something of the state that this one does not."""
    return updating(state.optimizer) is not state.optimizer or is_split(state.model)


def over_all(value: Tensor, op: distributed.ReduceOp.RedOpType = distributed.ReduceOp.SUM) -> Tensor:
    """What the processes that share a state have of a value, put together. All of them must ask."""
    if distributed.is_initialized():
        distributed.all_reduce(value, op)
    return value


def norms_of(tensors: Iterable[Tensor]) -> Tensor:
    """L2 norm of every tensor, [n], wherever its parts lie."""
    tensors = list(tensors)
    norms = torch.stack(torch._foreach_norm([here(tensor) for tensor in tensors]))
    if not is_share(tensors[0]):
        return norms
    return over_all(norms.double().square()).sqrt().to(norms.dtype)
