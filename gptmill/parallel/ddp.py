"""Several processes, each with the whole model: PyTorch's DistributedDataParallel averages their gradients."""

from __future__ import annotations

import inspect
import signal as signals
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single, Stop
from gptmill.plan.types import Plan

T = TypeVar("T")


class Ddp(Single):
    """The verbs among several processes.

    What decides the course of a run (a signal to stop, the time since a checkpoint) must be the same in all processes,
    or one would wait for the others for ever. It travels with the loss: every ``mean`` brings it up to date.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._began = time.perf_counter()
        self._asked: Stop | None = None
        self._sum = torch.zeros(3, dtype=torch.float64)  # see mean
        self._told: list[float] | None = None

    def wrap(self, model: nn.Module, plan: Plan) -> Callable[..., Tensor]:
        """The model as the step calls it; all processes begin with the weights of the first."""
        ids = [self.place.local_rank] if plan.device.startswith("cuda") else None
        known = inspect.signature(DistributedDataParallel).parameters
        # buffers are tables that every process computes alike; the name for "do not send them" changed in torch 2.13
        exchange = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {"device_ids": ids, "gradient_as_bucket_view": True, exchange: False}
        self._ddp = DistributedDataParallel(model, **options)
        return torch.compile(self._ddp) if plan.compile else self._ddp

    def sync(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged once a step, during its last backward pass."""
        return nullcontext() if last else self._ddp.no_sync()

    def mean(self, value: Tensor, news: bool = False) -> Tensor:
        asked = self._asked is not None and self._asked.signal is not None
        mine = torch.tensor([asked, time.perf_counter() - self._began, news], dtype=torch.float64)
        told = torch.cat([mine.to(value.device), value.detach().double().flatten()])
        distributed.all_reduce(told)
        self._sum, self._told = told / self.place.world_size, None
        return self._sum[len(mine) :].reshape(value.shape).to(value.dtype)

    def share(self, news: list[T]) -> list[T]:
        """What any process has to tell, each thing once, in the order of ranks; nobody is asked when nobody has news."""
        if not self._heard(2):
            return news
        lists: list[list[T]] = [[] for _ in range(self.place.world_size)]
        distributed.all_gather_object(lists, news)
        everything = [thing for told in lists for thing in told]
        return [thing for i, thing in enumerate(everything) if thing not in everything[:i]]

    def listen(self, asked: Stop) -> Stop:
        self._asked = asked
        return self

    @property
    def signal(self) -> int | None:
        """The signal that any process was sent before the last ``mean``."""
        if not self._heard(0):
            return None
        return (self._asked.signal if self._asked else None) or signals.SIGTERM

    def now(self) -> float:
        return self._heard(1)

    def _heard(self, index: int) -> float:
        """Waits for the device once, and only when somebody asks: after the step, when it is done anyway."""
        if self._told is None:
            self._told = self._sum.tolist()
        return self._told[index]
