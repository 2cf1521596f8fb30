"""PyTorch's optimizers without PyTorch's compiler, which they import to keep it out of themselves: a third of a start."""

from __future__ import annotations

import inspect
from functools import cache

import torch
from torch.optim import SGD, Adam, Muon, Optimizer

AROUND_STEP = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


@cache
def without_compiler() -> None:
    """Take off, for this process, the wrappers that only matter inside a compiled function.

    ``step`` is left with what its wrapper does besides: no gradients. Nothing here compiles an optimizer; with
    ``compile=True`` the compiler is there anyway, and the model is what it compiles. Before the first optimizer is made,
    as that puts wrappers of its own around ``step``.
    """
    for name in AROUND_STEP:
        setattr(Optimizer, name, inspect.unwrap(getattr(Optimizer, name)))
    for kind in (Adam, Muon, SGD):  # AdamW steps as Adam does
        kind.step = torch.no_grad()(inspect.unwrap(kind.step))  # type: ignore[method-assign]
