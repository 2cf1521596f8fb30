"""One optimizer step: micro-batches in, one update of the weights out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gptmill.model.dropout import dropout_keys
from gptmill.optim.schedules import lr_at
from gptmill.parallel.single import Single
from gptmill.plan.types import Plan
from gptmill.train.guard import check_finite, check_scale
from gptmill.train.state import TrainState

Take = Callable[[int, int], np.ndarray]  # (first sequence, count) -> token ids [count, T + 1]


@dataclass(frozen=True)
class StepResult:
    loss: float  # mean over every micro-batch and rank [nats/token]
    lr: float
    grad_norm: float  # before clipping
    skipped: bool  # float16 overflow: nothing was updated


def autocast(plan: Plan) -> AbstractContextManager[object]:
    """Matmuls in the plan's dtype; weights and optimizer state stay float32."""
    if plan.dtype == "float32":
        return nullcontext()
    return torch.autocast(plan.device.split(":")[0], dtype=getattr(torch, plan.dtype))


def to_device(tokens_BS: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    """Inputs and the targets one to their right, each int64 [B, T], from windows of S = T + 1 tokens."""
    ids_BS = torch.from_numpy(tokens_BS)
    if device.startswith("cuda"):
        ids_BS = ids_BS.pin_memory().to(device, non_blocking=True)
    else:
        ids_BS = ids_BS.to(device)
    return ids_BS[:, :-1], ids_BS[:, 1:]


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
            keys_B = dropout_keys(plan.seed, first, plan.batch_size, plan.device)
            torch.manual_seed(int(keys_B[0]))  # for sdpa's own dropout; everything else uses the keys
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
