"""What pruning and the update rule do around an update, besides the update."""

from __future__ import annotations

from torch import Tensor

from gptmill.train.early_stop import EarlyStop
from gptmill.train.state import TrainState


def before_clip(state: TrainState) -> None:
    """All gradients are there, unscaled: leave out those of pruned weights, and let the optimizer treat the rest.

    An optimizer that wants that has ``before_clip(norms)``, the global gradient norms of the steps before, as they were then.
    """
    if state.pruner:
        state.pruner.begin()
    treat = getattr(state.optimizer, "before_clip", None)
    if treat is not None:
        treat(state.recent.grad_norms)


def before_update(state: TrainState, grad_norm: Tensor, updated: bool) -> None:
    """Weights are about to move by these gradients, if they are to be: what pruning remembers of that."""
    if state.pruner and updated:
        state.pruner.learn(grad_norm.item())


def after_update(state: TrainState, updated: bool) -> None:
    """Prune, where the run does and where weights were moved.

    The step that meets the target begins anew what is best, and what early stopping waits for: of what was promised to be
    sparse, a denser model is not the best, however low its loss was.
    """
    if state.pruner and updated and state.pruner.prune(state.iter + 1):
        state.best_val_loss, state.early_stop = None, EarlyStop()
