"""What a checkpoint holds of a TrainState, taken at one moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gptmill.optim.averaging import Y, average_of
from gptmill.train.members import numbers_of
from gptmill.train.sharing import here, updating
from gptmill.train.state import TrainState

ROOM = 1.5  # of a copy's bytes that must be free on a GPU for it to be made there


@dataclass(frozen=True)
class Capture:
    """Args: weights, moments, pruning: by name, as members.py has them; under FSDP each is this process's share.

    Where an optimizer averages, the weights are the average, and those that train are among the moments.
    """

    iter: int
    numbers: dict[str, Any]
    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    pruning: dict[str, Tensor]

    @property
    def tensors(self) -> dict[str, Tensor]:
        return self.weights | self.moments | self.pruning

    @property
    def n_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def not_finite(self) -> list[str]:
        """What must not be gone back to: numbers and tensors that hold no number, or an infinite one."""
        strange = [
            name for name, value in self.numbers.items() if isinstance(value, float) and not math.isfinite(value)
        ]
        for name, tensor in self.tensors.items():
            share = here(tensor)
            if share.numel() and not all(end.isfinite() for end in share.aminmax()):
                strange.append(name)
        return strange


class NotFinite(Exception):
    """A state that must not be saved."""


def refuse_unless_finite(strange: list[str]) -> None:
    """Raise NotFinite with the first few names, unless there are none."""
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise NotFinite(f"{', '.join(strange[:3])}{more} not finite")


def capture(state: TrainState) -> Capture:
    """The state itself, without a copy but for an average: training must wait until it is written."""
    named, optimizer = list(state.model.named_parameters()), updating(state.optimizer)
    weights = {name: weight.detach() for name, weight in named}
    moments = {
        f"{name}.{key}": value.detach()
        for name, weight in named
        for key, value in optimizer.state.get(weight, {}).items()
    }
    if (average := average_of(optimizer)) and moments:
        moments |= {f"{name}.{Y}": weight for name, weight in weights.items()}
        weights = {name: average(weight) for name, weight in named}
    return Capture(state.iter, numbers_of(state), weights, moments, state.pruner.tensors if state.pruner else {})


def copied(taken: Capture) -> Capture:
    """The same in memory of its own, so that training can go on meanwhile: on the GPU where there is room, else the host's."""
    first = next(iter(taken.weights.values()))
    away = first.is_cuda and torch.cuda.mem_get_info()[0] < ROOM * taken.n_bytes
    weights, moments, pruning = (
        {name: t.cpu() if away else t.clone() for name, t in part.items()}
        for part in (taken.weights, taken.moments, taken.pruning)
    )
    if first.is_cuda:
        torch.cuda.current_stream().synchronize()  # the thread that writes has a stream of its own
    return Capture(taken.iter, taken.numbers, weights, moments, pruning)
