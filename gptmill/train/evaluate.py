"""Loss on fixed batches. Draws no random numbers, so it cannot disturb training."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gptmill.events import EvalDone
from gptmill.optim.averaging import averaged
from gptmill.parallel.single import Single, Stop
from gptmill.plan.types import Plan
from gptmill.targets import sequences_of
from gptmill.train.device import autocast, to_device
from gptmill.train.early_stop import observe
from gptmill.train.guard import check_val_loss
from gptmill.train.penalty import loss_parts
from gptmill.train.state import TrainState


@torch.no_grad()
def mean_losses(
    state: TrainState, plan: Plan, engine: Single, forward: Callable[..., Tensor], windows_NS: np.ndarray, stop: Stop
) -> list[float] | None:
    """Mean over all targets of the windows, or None when a stop request came in between.

    Of the cross-entropy [nats/token], and with a penalty of that and of the largest probability.

    Each process takes its share of the batches.

    Args:
        windows_NS: N windows of S = block_size + 1 token ids; the last batch may be smaller.
    """
    place, B = engine.place, plan.batch_size
    state.model.eval()
    total = torch.zeros(3 if plan.penalty else 1, dtype=torch.float64)
    for start in range(0, len(windows_NS), place.world_size * B):
        mine_BS = windows_NS[start + place.rank * B :][:B]
        # one that has none left computes beside the others, which may need its share of the weights
        x_BT, y_BT = to_device(mine_BS if len(mine_BS) else windows_NS[:1], plan.device)
        with autocast(plan):
            parts = forward(x_BT, y_BT, None, plan.penalty).double().cpu().flatten()
        total += parts[-len(total) :] * sequences_of(mine_BS)
        if stop.signal is not None:
            break
    state.model.train()
    total = engine.mean(total) * place.world_size
    return (total / (sequences_of(windows_NS) or 1)).tolist() if stop.signal is None else None


def evaluate(
    plan: Plan,
    state: TrainState,
    engine: Single,
    forward: Callable[..., Tensor],
    eval_windows: dict[str, np.ndarray],
    stop: Stop,
) -> EvalDone | None:
    """Measure both splits and remember the best validation loss; None when a stop request came in between.

    Raises:
        Diverged: the validation loss is not finite.
    """
    began = time.perf_counter()
    with averaged(state.optimizer):
        train, val = (
            mean_losses(state, plan, engine, forward, eval_windows[split], stop) for split in ("train", "val")
        )
    if train is None or val is None:
        return None
    train_loss, val_loss = train[0], val[0]
    check_val_loss(val_loss, state)
    best = state.best_val_loss is None or val_loss < state.best_val_loss
    if best:
        state.best_val_loss = val_loss
    # while weights are being pruned, a loss that rises is no reason to stop
    if plan.early_stopping and state.iter > 0 and not (state.pruner and not state.pruner.complete):
        state.early_stop = observe(state.early_stop, train_loss, val_loss, plan)
    state.evaluated = state.iter
    seconds = time.perf_counter() - began
    return EvalDone(state.iter, train_loss, val_loss, best, seconds, **loss_parts(plan, val))
