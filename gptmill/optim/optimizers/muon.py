"""Muon: the momentum of each hidden matrix, orthogonalized. Embeddings, the head and vectors are left to AdamW.

A weight that holds several matrices side by side (queries, keys and values; gate and up) is taken apart: each of them is
a map of its own, and the largest would otherwise set the scale of the others. Updates are scaled to the size of
AdamW's (0.2 sqrt(max(rows, columns))), so one learning_rate and one weight_decay serve both.

Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; the scale: Liu et al. 2025, arXiv:2502.16982.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from gptmill.optim.groups import decay_groups, has_fused_kernels, hidden_matrices
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.plan.types import Plan


class MuonAdamW(torch.optim.Optimizer):
    """PyTorch's Muon for groups that have ``rows``, its AdamW for the others, under one roof.

    Args:
        groups: ``rows``: those of each matrix in a weight. ``rate``: what the learning rate is multiplied with.
    """

    def __init__(
        self, groups: Any, lr: float, betas: tuple[float, float], eps: float, momentum: float, fused: bool | None
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "momentum": momentum, "fused": fused})
        self._muon: torch.optim.Muon | None = None
        self._adamw: torch.optim.AdamW | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Other groups and other moments: what was made of those before is of no use."""
        super().__setstate__(state)
        self._muon = self._adamw = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else closure()
        hidden = [group for group in self.param_groups if "rows" in group]
        others = [group for group in self.param_groups if "rows" not in group]
        self._step_muon([group for group in hidden if group["params"]])
        self._step_adamw([group for group in others if group["params"]])
        return loss

    def _step_muon(self, groups: list[dict[str, Any]]) -> None:
        if not groups:
            return  # under ZeRO-1 a process may have none
        if self._muon is None:
            options = ("lr", "weight_decay", "momentum")
            views = [{"params": matrices_in(group), **{key: group[key] for key in options}} for group in groups]
            self._muon = torch.optim.Muon(views, adjust_lr_fn="match_rms_adamw")
        for group, mine in zip(groups, self._muon.param_groups):
            mine["lr"] = group["lr"] * group["rate"]
            parts = iter(mine["params"])
            for weight in group["params"]:
                # without a gradient it stays where it is, as everywhere in PyTorch
                grad, buffer = weight.grad, None if weight.grad is None else self._momentum(weight)
                for rows in slices(weight, group["rows"]):
                    part = next(parts)
                    if buffer is not None:
                        part.grad, self._muon.state[part]["momentum_buffer"] = grad[rows], buffer[rows]
        self._muon.step()
        self._muon.zero_grad(set_to_none=True)

    def _step_adamw(self, groups: list[dict[str, Any]]) -> None:
        if not groups:
            return
        if self._adamw is None:
            options = ("params", "lr", "betas", "eps", "weight_decay", "fused")
            self._adamw = torch.optim.AdamW([{key: group[key] for key in options} for group in groups])
            self._adamw.state = self.state
        for group, mine in zip(groups, self._adamw.param_groups):
            mine["lr"] = group["lr"]
        self._adamw.step()

    def _momentum(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def matrices_in(group: dict[str, Any]) -> list[Tensor]:
    """The matrices in a group's weights, as tensors that share their memory."""
    return [weight.detach()[rows] for weight in group["params"] for rows in slices(weight, group["rows"])]


def slices(weight: Tensor, rows: tuple[int, ...]) -> list[slice]:
    """Where in a weight its matrices are."""
    ends = list(accumulate(rows or (len(weight),)))
    return [slice(begin, end) for begin, end in zip([0, *ends], ends)]


@OPTIMIZERS.register("muon")
def muon(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    rate = plan.muon_learning_rate / plan.learning_rate if plan.learning_rate else 1.0
    by_rows: dict[tuple[int, ...], list[Tensor]] = {}
    for name, weight in hidden_matrices(model):
        by_rows.setdefault(rows_of(name, plan), []).append(weight)
    chosen = {weight for weights in by_rows.values() for weight in weights}
    groups = [
        {"params": weights, "rows": rows, "rate": rate, "weight_decay": plan.weight_decay}
        for rows, weights in by_rows.items()
    ]
    groups += decay_groups(model, plan.weight_decay, without=chosen)
    return MuonAdamW(
        groups,
        lr=plan.learning_rate,
        betas=(plan.beta1, plan.beta2),
        eps=plan.eps,
        momentum=plan.muon_momentum,
        fused=has_fused_kernels(plan) or None,
    )


def rows_of(name: str, plan: Plan) -> tuple[int, ...]:
    """How many rows each matrix of a weight has; () where it is one."""
    shape = plan.shape
    if name.endswith("c_attn.weight"):
        return (shape.n_embd, shape.kv_dim, shape.kv_dim)
    if name.endswith("c_fc.weight") and shape.ffn_type == "swiglu":
        return (shape.ffn_dim, shape.ffn_dim)
    return ()
