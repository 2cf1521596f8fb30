"""Spike-aware AdamW: single gradients far above their usual size are clipped, and the moments are forgotten now and then.

Two variants. ``paper``: clip, reset, warmup. ``spikes``: AMSGrad, a clip where asked for, moments damped when the norm of
all gradients spikes, reset, warmup.

Source: Huang et al. 2025, SPAM, arXiv:2501.06842, with their code's 20 updates between a reset and the next clip.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gptmill.optim.groups import decay_groups
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.optim.optimizers.adam import adam_options
from gptmill.plan.types import Plan

FEW = 20  # updates after which the average of squares means something
WINDOW, ENOUGH = 100, 10  # gradient norms that a spike is held against: at most, at least
DAMPED, DAMPED_SQ = 0.5, 0.9  # what of the moments a spike leaves


class AdamWSpam(torch.optim.AdamW):
    """PyTorch's AdamW behind the treatment; all state is AdamW's own.

    Differs from the paper's code where a second moment is 0: such an embedding row was not read since the reset, and
    clipping its gradient to sqrt(theta x 0) would keep it from ever learning.
    """

    def __init__(self, groups: list[dict[str, Any]], plan: Plan) -> None:
        super().__init__(groups, **adam_options(plan))
        self.plan = plan
        self._spikes = False  # in the step at hand

    @torch.no_grad()
    def before_clip(self, norms: Sequence[float]) -> None:
        """Clip single gradients, and look whether this step's norm is a spike.

        Args:
            norms: global gradient norms of the steps before, after this treatment and before the global clip.
        """
        plan, update = self.plan, self._updates() + 1
        since_reset = update % plan.spam_interval if plan.spam_interval else update
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        if plan.spam_enable_clip and since_reset >= FEW:
            for weight in weights:
                if state := self.state.get(weight):
                    clip_outliers(weight.grad, state["exp_avg_sq"], plan.spam_theta)
        if plan.spam_variant == "spikes":
            norm: Any = nn.utils.get_total_norm([weight.grad for weight in weights], foreach=True)
            norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # under FSDP every device has a part
            self._spikes = is_spike(norm.item(), norms, plan.spam_spike_threshold)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update: damp after a spike, reset when it is time, then AdamW at the rate that warmup leaves."""
        plan, update = self.plan, self._updates() + 1
        if self._spikes:
            self._moments("exp_avg", DAMPED)
            self._moments("exp_avg_sq", DAMPED_SQ)
        if plan.spam_interval and update % plan.spam_interval == 0:
            self._moments("exp_avg", 0.0)
            self._moments("exp_avg_sq", 0.0)
        rates = [group["lr"] for group in self.param_groups]
        for group, rate in zip(self.param_groups, rates):
            group["lr"] = rate * warmup_share(update, plan)
        result = super().step(closure)
        for group, rate in zip(self.param_groups, rates):
            group["lr"] = rate
        return result

    def _updates(self) -> int:
        """Updates taken so far, by AdamW's own count: it is in every checkpoint, and a step skipped adds none."""
        return next((int(state["step"].item()) for state in self.state.values()), 0)

    def _moments(self, name: str, share: float) -> None:
        moments = [state[name] for state in self.state.values()]
        if moments:
            torch._foreach_mul_(moments, share)


def clip_outliers(grad: Tensor, exp_avg_sq: Tensor, theta: float) -> None:
    """Bring gradients g with g^2 > theta v back to size sqrt(theta v), in place, where v is known.

    A gradient that is not finite stays so: the guards have to see it.
    """
    limit = (exp_avg_sq * theta).sqrt_()
    outlier = (grad.abs() > limit) & (limit > 0) & grad.isfinite()
    grad.copy_(torch.where(outlier, limit.copysign(grad), grad))


def is_spike(norm: float, norms: Sequence[float], threshold: float) -> bool:
    """Whether a norm lies more than ``threshold`` standard deviations above the mean of those before."""
    before = list(norms)[-WINDOW:]
    if len(before) < ENOUGH or not math.isfinite(norm):
        return False
    spread = statistics.pstdev(before)
    return spread > 0 and (norm - statistics.fmean(before)) / spread > threshold


def warmup_share(update: int, plan: Plan) -> float:
    """Share of the rate at which the update (1-based) is taken: 1, but for the warmup after a reset."""
    if not plan.spam_interval or update < plan.spam_interval:
        return 1.0
    since_reset = update % plan.spam_interval
    if since_reset >= plan.spam_warmup_steps:
        return 1.0
    if plan.spam_variant == "paper":
        return 1.0 - 0.99 * 0.5 * (1.0 + math.cos(math.pi * since_reset / (plan.spam_warmup_steps + 1)))
    return max(1e-3, 0.5 * (1.0 - math.cos(math.pi * since_reset / plan.spam_warmup_steps)))


@OPTIMIZERS.register("adamwspam")
def adamwspam(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    return AdamWSpam(decay_groups(model, plan.weight_decay), plan)
