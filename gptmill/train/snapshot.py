"""A TrainState kept in memory, to go back to."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch

from gptmill.train.members import (
    moments_of,
    numbers_of,
    restore_moments,
    restore_numbers,
    restore_weights,
    weights_of,
)
from gptmill.train.state import TrainState

IN_MEMORY = Path("the state in memory")


class Snapshot:
    """Weights, moments and numbers of one moment: what a checkpoint holds, in host memory."""

    def __init__(self, state: TrainState) -> None:
        self.returns = 0  # how often it was put back
        self._weights = {name: weight.clone() for name, weight in weights_of(state.model).items()}
        self._moments = {name: moment.clone() for name, moment in moments_of(state).items()}
        self._numbers = deepcopy(numbers_of(state))

    @property
    def finite(self) -> bool:
        tensors = [*self._weights.values(), *self._moments.values()]
        return all(norm.isfinite() for norm in torch._foreach_norm(tensors))

    def restore(self, state: TrainState, past: list[int]) -> None:
        """Put it back, bit for bit, to go on past these sequences (first and last); it can be put back again."""
        self.returns += 1
        self._numbers["recent"]["passed"].append(past)
        restore_weights(IN_MEMORY, state.model, self._weights)
        restore_moments(IN_MEMORY, state, self._moments)
        restore_numbers(IN_MEMORY, state, deepcopy(self._numbers))
