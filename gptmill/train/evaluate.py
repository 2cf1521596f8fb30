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
from gptmill.train.device import autocast, to_device
from gptmill.train.early_stop import observe
from gptmill.train.guard import check_val_loss
from gptmill.train.state import TrainState


@torch.no_grad()
def mean_loss(
    state: TrainState, plan: Plan, engine: Single, forward: Callable[..., Tensor], windows_NS: np.ndarray, stop: Stop
) -> float | None:
    """Mean loss over all tokens of the windows [nats/token], or None when a stop request came in between.

    Each process takes its share of the batches.

    Args:
        windows_NS: N windows of S = block_size + 1 token ids; the last batch may be smaller.
    """
    place, B = engine.place, plan.batch_size
    state.model.eval()
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(windows_NS), place.world_size * B):
        mine_BS = windows_NS[start + place.rank * B :][:B]
        # one that has none left computes beside the others, which may need its share of the weights
        x_BT, y_BT = to_device(mine_BS if len(mine_BS) else windows_NS[:1], plan.device)
        with autocast(plan):
            total += forward(x_BT, y_BT).double().cpu() * len(mine_BS)
        if stop.signal is not None:
            break
    state.model.train()
    total = engine.mean(total) * place.world_size
    return (total / len(windows_NS)).item() if stop.signal is None else None


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
        train_loss, val_loss = (
            mean_loss(state, plan, engine, forward, eval_windows[split], stop) for split in ("train", "val")
        )
    if train_loss is None or val_loss is None:
        return None
    check_val_loss(val_loss, state)
    best = state.best_val_loss is None or val_loss < state.best_val_loss
    if best:
        state.best_val_loss = val_loss
    # while weights are being pruned, a loss that rises is no reason to stop
    if plan.early_stopping and state.iter > 0 and not (state.pruner and not state.pruner.complete):
        state.early_stop = observe(state.early_stop, train_loss, val_loss, plan)
    state.evaluated = state.iter
    return EvalDone(state.iter, train_loss, val_loss, best, time.perf_counter() - began)
