"""Pruning as a part of the run: what it means for the loss to beat."""

from __future__ import annotations

from gptmill.train.early_stop import EarlyStop
from gptmill.train.state import TrainState


def prune(state: TrainState) -> None:
    """After an update that was taken: prune, where the run does.

    The step that meets the target begins anew what is best, and what early stopping waits for: of what was promised to be
    sparse, a denser model is not the best, however low its loss was.
    """
    if state.pruner and state.pruner.prune(state.iter + 1):
        state.best_val_loss, state.early_stop = None, EarlyStop()
