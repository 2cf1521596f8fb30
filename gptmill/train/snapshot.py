"""A TrainState kept in memory, to go back to."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import distributed

from gptmill.train.capture import capture
from gptmill.train.members import restore_numbers
from gptmill.train.sharing import here, is_shared, over_all, updating
from gptmill.train.state import TrainState

IN_MEMORY = Path("the state in memory")


class Snapshot:
    """Weights, moments and numbers of one moment: what this process has of a checkpoint, in host memory."""

    def __init__(self, state: TrainState) -> None:
        self.returns = 0  # how often it was put back
        taken = capture(state)
        self._tensors = {name: here(tensor).to("cpu", copy=True) for name, tensor in taken.tensors.items()}
        self._begun = bool(taken.moments)
        self._numbers = deepcopy(taken.numbers)
        finite = torch.tensor(not taken.not_finite())
        # of a state that is shared out: in all processes alike
        self.finite = bool(over_all(finite.int(), distributed.ReduceOp.MIN) if is_shared(state) else finite)

    def restore(self, state: TrainState, past: list[int]) -> None:
        """Put it back, bit for bit, to go on past these sequences (first and last); it can be put back again."""
        self.returns += 1
        self._numbers["recent"]["passed"].append(past)
        if not self._begun:
            updating(state.optimizer).state.clear()
        if state.pruner:
            state.pruner.forget_unless(self._tensors)
        for name, tensor in capture(state).tensors.items():
            here(tensor).copy_(self._tensors[name])
        restore_numbers(IN_MEMORY, state, deepcopy(self._numbers))
