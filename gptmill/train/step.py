"""One optimizer step: micro-batches in, one update of the weights out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gptmill.events import StepDone
from gptmill.optim.schedules import lr_at
from gptmill.parallel.single import Single
from gptmill.plan.batch import micro_batch
from gptmill.plan.types import Plan
from gptmill.train.device import autocast, dropout_keys, to_device
from gptmill.train.state import TrainState
from gptmill.train.update import after_update, before_clip, before_update
from gptmill.train.watch import Watch
from gptmill.train.weighting import parts_of, targets_of_step

Take = Callable[[int, int], np.ndarray]  # (first sequence, count) -> token ids [count, T + 1]


def train_step(
    state: TrainState, plan: Plan, engine: Single, forward: Callable[..., Tensor], take: Take, watch: Watch
) -> StepDone:
    """Accumulate gradients over the step's micro-batches, have them checked, clip them, update.

    Which sequences are read and what dropout drops depend only on the seed and ``state.sequences``.
    """
    watch.begin()
    state.optimizer.zero_grad(set_to_none=True)  # there are some where memory ran out halfway
    lr = lr_at(state.iter, plan)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    whole = targets_of_step(plan, take, state.sequences)
    losses = torch.zeros(4 if plan.penalty else 1, device=plan.device)  # the loss, and with a penalty its parts
    for micro_step in range(plan.micro_steps):
        offset, count = micro_batch(plan, micro_step, engine.place.rank)
        first = state.sequences + offset
        tokens_BS = take(first, count)
        x_BT, y_BT = to_device(tokens_BS, plan.device)
        watch.batch(first, tokens_BS, x_BT, y_BT)
        keys_B = dropout_keys(plan, first, count) if plan.shape.dropout else None
        watch.clock.lap("data")
        with engine.sync(last=micro_step == plan.micro_steps - 1):
            with autocast(plan):
                parts = forward(x_BT, y_BT, keys_B, plan.penalty)
                micro_losses = parts.flatten() / parts_of(whole, tokens_BS, plan.world_size)
            watch.clock.lap("forward")
            (state.scaler.scale(micro_losses[0]) if state.scaler else micro_losses[0]).backward()
        losses += micro_losses.detach()
        watch.clock.lap("backward")

    if state.scaler:
        state.scaler.unscale_(state.optimizer)
    mean_losses = engine.mean(losses, news=watch.has_news)
    watch.clock.lap("communication")
    watch.gradients()
    before_clip(state)
    norm = engine.clip(state.model, plan.grad_clip)
    updated, overflowed = watch.approves(mean_losses, norm), False
    before_update(state, norm, updated)
    if state.scaler:
        before = state.scaler.get_scale()
        if updated:
            state.scaler.step(state.optimizer)  # leaves the weights alone when a gradient is not finite
        state.scaler.update()
        overflowed = state.scaler.get_scale() < before
    elif updated:
        state.optimizer.step()
    after_update(state, updated and not overflowed)
    state.optimizer.zero_grad(set_to_none=True)
    watch.clock.lap("update")
    return watch.finish(lr, updated, overflowed)
