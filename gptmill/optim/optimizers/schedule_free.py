"""Schedule-free AdamW: an average of the weights takes the place of a decaying learning rate.

Three sequences: z steps as AdamW would, x is its weighted average and is what the run is judged by, and gradients are
taken at y between them, which is what the model holds while it trains.

    y = (1 - beta1) z + beta1 x        z <- z - rate (g / (sqrt(v) + eps) + weight_decay y)        x <- (1 - c) x + c z

with rate = lr sqrt(1 - beta2^t) and c = rate^2 over the sum of all rate^2. x is nowhere kept: it follows from y and z.

Source: Defazio et al. 2024, The Road Less Scheduled, arXiv:2405.15682, algorithm 1. Theirs is the package schedulefree, whose
way from y to x and back is arithmetic, so that looking at x leaves other bits in y; here y comes back by copy.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from gptmill.optim.averaging import Y
from gptmill.optim.groups import decay_groups
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.plan.types import Plan


class ScheduleFreeAdamW(torch.optim.Optimizer):
    """Two moments for each parameter: z and exp_avg_sq (v)."""

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(group, weights, [weight.grad for weight in weights])
        return loss

    def _update(self, group: dict[str, Any], y: list[Tensor], grads: list[Tensor]) -> None:
        states = [self._state(weight) for weight in y]
        beta1, beta2 = group["betas"]
        z, v = [state["z"] for state in states], [state["exp_avg_sq"] for state in states]
        rate = group["lr"] * math.sqrt(1 - beta2 ** (states[0]["step"].item() + 1))
        for state in states:
            state["step"] += 1
            state["rates_sq"] += rate * rate
        total = states[0]["rates_sq"].item()
        share = min(1.0, rate * rate / total) if total else 0.0

        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
        size = torch._foreach_sqrt(v)
        torch._foreach_add_(size, group["eps"])
        updates = torch._foreach_div(grads, list(size))
        torch._foreach_add_(updates, y, alpha=group["weight_decay"])
        torch._foreach_lerp_(y, z, share)
        torch._foreach_add_(y, updates, alpha=rate * (beta1 * (1 - share) - 1))
        torch._foreach_add_(z, updates, alpha=-rate)

    def _state(self, weight: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["rates_sq"] = torch.zeros(())
            state["z"] = weight.detach().clone()
            state["exp_avg_sq"] = torch.zeros_like(weight)
        return state

    @torch.no_grad()
    def average(self, weight: Tensor) -> Tensor:
        """x, in memory of its own; before the first step it is the weight itself."""
        state = self.state.get(weight)
        if not state:
            return weight.detach()
        beta1 = next(group["betas"][0] for group in self.param_groups if any(weight is p for p in group["params"]))
        return torch.lerp(weight.detach(), state["z"], 1 - 1 / beta1)

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A checkpoint's weights are x; y is among its moments, and returns into the model."""
        super().load_state_dict(state_dict)
        for weight, state in self.state.items():
            weight.copy_(state.pop(Y))
            if state:  # none without a gradient so far
                state["rates_sq"] = state["rates_sq"].cpu()


@OPTIMIZERS.register("schedule_free_adamw")
def schedule_free_adamw(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    groups = decay_groups(model, plan.weight_decay)
    return ScheduleFreeAdamW(groups, lr=plan.learning_rate, betas=(plan.beta1, plan.beta2), eps=plan.eps)
