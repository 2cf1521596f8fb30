"""One process, one device: the verbs of the parallel interface at their simplest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from gptmill.parallel.launch import Place
from gptmill.plan.types import Plan


class Single:
    """What the training step needs from a parallel engine.

    wrap: the callable the step runs; sync: whether a micro-step's gradients are exchanged; clip: global gradient norm;
    mean: a number averaged over ranks.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def wrap(self, model: nn.Module, plan: Plan) -> Callable[..., Tensor]:
        """The model as the step calls it, compiled if the plan says so; ``model`` itself keeps its names and weights."""
        return torch.compile(model) if plan.compile else model

    def sync(self, last: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def clip(self, model: nn.Module, grad_clip: float) -> Tensor:
        """Scale gradients so that their global L2 norm is at most grad_clip (0 = leave them); return the norm before.

        Gradients that are not finite stay as they are: scaled, all would be, and no layer could be named.
        """
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(grads, foreach=True)
        finite = torch.where(norm.isfinite(), norm, 0.0)
        nn.utils.clip_grads_with_norm_(model.parameters(), grad_clip or float("inf"), finite, foreach=True)
        return norm

    def mean(self, value: Tensor) -> Tensor:
        return value
