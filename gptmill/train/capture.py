"""What a checkpoint holds of a TrainState, taken at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gptmill.train.members import numbers_of
from gptmill.train.sharing import updating
from gptmill.train.state import TrainState

ROOM = 1.5  # of a copy's bytes that must be free on a GPU for it to be made there


@dataclass(frozen=True)
class Capture:
    """Args: weights, moments: by name, as members.py has them; under FSDP each is this process's share."""

    iter: int
    numbers: dict[str, Any]
    weights: dict[str, Tensor]
    moments: dict[str, Tensor]

    @property
    def n_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.weights.values(), *self.moments.values()))


def capture(state: TrainState) -> Capture:
    """The state itself, without a copy: training must wait until it is written."""
    weights = {name: weight.detach() for name, weight in state.model.named_parameters()}
    moments = {
        f"{name}.{key}": value.detach()
        for name, weight in state.model.named_parameters()
        for key, value in updating(state.optimizer).state.get(weight, {}).items()
    }
    return Capture(state.iter, numbers_of(state), weights, moments)


def copied(taken: Capture) -> Capture:
    """The same in memory of its own, so that training can go on meanwhile: on the GPU where there is room, else the host's."""
    first = next(iter(taken.weights.values()))
    if first.is_cuda and torch.cuda.mem_get_info()[0] < ROOM * taken.n_bytes:
        weights, moments = ({name: t.cpu() for name, t in part.items()} for part in (taken.weights, taken.moments))
    else:
        weights, moments = ({name: t.clone() for name, t in part.items()} for part in (taken.weights, taken.moments))
    if first.is_cuda:
        torch.cuda.current_stream().synchronize()  # the thread that writes has a stream of its own
    return Capture(taken.iter, taken.numbers, weights, moments)
