"""One process, one device: the verbs of the parallel interface at their simplest."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from gptmill.parallel.launch import Place
from gptmill.plan.types import Plan

T = TypeVar("T")


class Stop(Protocol):
    """Whether somebody asked the run to end: ``signal`` is the signal's number, None while nobody did."""

    @property
    def signal(self) -> int | None: ...


class Single:
    """What training needs from a parallel engine.

    shard, share_out: what of the model and of the optimizer stays here; wrap: the callable the step runs; sync: whether a micro-step's gradients are exchanged; clip: global gradient norm;
    mean: numbers averaged over processes; share: what any of them has to tell; listen, now: a request to stop, and a
    time in seconds, that all of them see alike.
    """

    sharded = False  # whether the state of the run is spread over the processes

    def __init__(self, place: Place) -> None:
        self.place = place

    def shard(self, model: nn.Module, plan: Plan) -> None:
        """Leave this process its share of the parameters, in place; before there is an optimizer."""

    def share_out(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """The optimizer that updates what this process is to update; it has not taken a step yet."""
        return optimizer

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
        norm = self._norm(grads)
        # PyTorch's factor is 1 then, and changes no bit; on a GPU, to know that would be to wait for it
        if not grad_clip or (norm.device.type == "cpu" and norm + 1e-6 <= grad_clip):
            return norm
        finite = torch.where(norm.isfinite(), norm, 0.0)
        nn.utils.clip_grads_with_norm_(model.parameters(), grad_clip, finite, foreach=True)
        return norm

    def _norm(self, grads: list[Tensor]) -> Tensor:
        return nn.utils.get_total_norm(grads, foreach=True)

    def mean(self, value: Tensor, news: bool = False) -> Tensor:
        """A number, or several, averaged over all processes.

        Args:
            news: whether this process has something to ``share``.
        """
        return value

    def share(self, news: list[T]) -> list[T]:
        return news

    def listen(self, asked: Stop) -> Stop:
        return asked

    def now(self) -> float:
        return time.perf_counter()
