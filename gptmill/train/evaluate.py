"""Loss on fixed batches. Draws no random numbers, so it cannot disturb training."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gptmill.events import EvalDone
from gptmill.plan.types import Plan
from gptmill.train.device import autocast, to_device
from gptmill.train.guard import check_val_loss
from gptmill.train.state import TrainState


@torch.no_grad()
def mean_loss(state: TrainState, plan: Plan, forward: Callable[..., Tensor], windows_NS: np.ndarray) -> float:
    """Mean loss over all tokens of the windows [nats/token].

    Args:
        windows_NS: N windows of S = block_size + 1 token ids; the last batch may be smaller.
    """
    state.model.eval()
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(windows_NS), plan.batch_size):
        x_BT, y_BT = to_device(windows_NS[start : start + plan.batch_size], plan.device)
        with autocast(plan):
            total += forward(x_BT, y_BT).double().cpu() * len(x_BT)
    state.model.train()
    return (total / len(windows_NS)).item()


def evaluate(
    plan: Plan, state: TrainState, forward: Callable[..., Tensor], eval_windows: dict[str, np.ndarray]
) -> EvalDone:
    """Measure both splits and remember the best validation loss.

    Raises:
        GptmillError: the validation loss is not finite.
    """
    began = time.perf_counter()
    losses = {split: mean_loss(state, plan, forward, windows_NS) for split, windows_NS in eval_windows.items()}
    check_val_loss(losses["val"], state)
    best = state.best_val_loss is None or losses["val"] < state.best_val_loss
    if best:
        state.best_val_loss = losses["val"]
    state.evaluated = state.iter
    return EvalDone(state.iter, losses["train"], losses["val"], best, time.perf_counter() - began)
