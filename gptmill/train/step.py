"""One optimizer step: micro-batches in, one update of the weights out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gptmill.optim.schedules import lr_at
from gptmill.parallel.single import Single
from gptmill.plan.types import Plan
from gptmill.train.device import autocast, dropout_keys, to_device
from gptmill.train.guard import check_finite, check_scale
from gptmill.train.state import TrainState

Take = Callable[[int, int], np.ndarray]  # (first sequence, count) -> token ids [count, T + 1]


@dataclass(frozen=True)
class StepResult:
    loss: float  # mean over every micro-batch and rank [nats/token]
    lr: float
    grad_norm: float  # before clipping
    skipped: bool  # float16 overflow: nothing was updated


def train_step(state: TrainState, plan: Plan, engine: Single, forward: Callable[..., Tensor], take: Take) -> StepResult:
    """Accumulate gradients over the step's micro-batches, check them, clip them, update.

    Which sequences are read and what dropout drops depend only on the seed and ``state.sequences``.

    Raises:
        GptmillError: loss or gradients are not finite; the weights are as they were.
    """
    lr = lr_at(state.iter, plan)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    loss = torch.zeros((), device=plan.device)
    for micro_step in range(plan.micro_steps):
        first = state.sequences + (micro_step * plan.world_size + engine.place.rank) * plan.batch_size
        x_BT, y_BT = to_device(take(first, plan.batch_size), plan.device)
        keys_B = None
        if plan.shape.dropout:
            keys_B = dropout_keys(plan, first)
        with engine.sync(last=micro_step == plan.micro_steps - 1):
            with autocast(plan):
                micro_loss = forward(x_BT, y_BT, keys_B) / plan.micro_steps
            (state.scaler.scale(micro_loss) if state.scaler else micro_loss).backward()
        loss += micro_loss.detach()

    if state.scaler:
        state.scaler.unscale_(state.optimizer)
    grad_norm = engine.clip(state.model, plan.grad_clip).item()
    mean_loss = engine.mean(loss).item()
    skipped = False
    if state.scaler:
        before = state.scaler.get_scale()
        state.scaler.step(state.optimizer)  # leaves the weights alone when a gradient is not finite
        state.scaler.update()
        skipped = state.scaler.get_scale() < before
        check_scale(state.scaler.get_scale(), state)
    else:
        check_finite(mean_loss, grad_norm, state, plan)
        state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.iter += 1
    state.sequences += plan.effective_batch_size
    state.tokens += plan.tokens_per_iter
    return StepResult(mean_loss, lr, grad_norm, skipped)
