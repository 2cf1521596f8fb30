"""Loss on fixed batches. Draws no random numbers, so it cannot disturb training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gptmill.plan.types import Plan
from gptmill.train.state import TrainState
from gptmill.train.step import autocast, to_device


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
