"""Which layers take no part in the training: no gradient, a gradient of zeros, or weights that stay where they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from gptmill.plan.types import Plan, covers
from gptmill.train.health import layer_norms
from gptmill.train.sharing import here, is_split, over_all

NEAR_PEAK = 0.1  # of learning_rate: below it, in warmup or at the end of a decay, a large weight may round to itself


@dataclass(frozen=True)
class LayerFinding:
    kind: str
    layer: str | None
    says: str


def detached(model: nn.Module) -> list[LayerFinding]:
    """Layers that the backward pass did not reach at all."""
    names = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    return _findings("detached_block", names, model, "gets no gradient at all: it is not connected to the loss")


def dead(gradients: dict[str, Any], model: nn.Module) -> list[LayerFinding]:
    """Layers whose gradient is exactly zero while that of others is not."""
    names = [name for name, norm in gradients["layers"].items() if norm == 0.0] if gradients["global_norm"] > 0 else []
    return _findings("dead_layer", names, model, "has a gradient of exactly 0 everywhere: nothing it does matters")


def vanishing(grad_norm: float, plan: Plan, optimizer: torch.optim.Optimizer, n_params: int) -> list[LayerFinding]:
    """Gradients below the eps of an Adam-like optimizer: it divides by sqrt(v) + eps, so such a step moves nothing."""
    eps = max((group.get("eps", 0.0) for group in optimizer.param_groups), default=0.0)
    clipped = min(grad_norm, plan.grad_clip) if plan.grad_clip else grad_norm
    if not 0 < clipped / math.sqrt(n_params) < eps:
        return []
    size = f"{clipped / math.sqrt(n_params):.1e} a weight, below eps={eps:g}: the optimizer hardly moves"
    if grad_norm / math.sqrt(n_params) >= eps:
        says = f"grad_clip={plan.grad_clip:g} cuts a gradient norm of {grad_norm:.3g} to {size}; try grad_clip=1"
        return [LayerFinding("clipped_to_zero", None, says)]
    return [LayerFinding("vanishing_update", None, f"gradients are {size}")]


class Movement:
    """Looks for frozen layers: first by a sample that did not move, then, at the next step, by all of the layer."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self._model = model
        self._before: dict[str, Tensor] = {}
        self.suspects: list[str] = []

    def fixed(self, meant: tuple[str, ...] = ()) -> list[LayerFinding]:
        """Args: meant: patterns of those that are to stay as they are."""
        names = [name for name, p in self._parameters.items() if not (p.requires_grad or covers(meant, name))]
        return _findings("frozen_parameters", names, self._model, "is set to take no gradient (requires_grad is False)")

    def before_update(self) -> None:
        self._before = {name: here(self._parameters[name]).detach().clone() for name in self.suspects}

    def after_update(self, unmoved: list[str]) -> list[LayerFinding]:
        """Take in the layers whose sample did not move; those already suspected are compared whole."""
        same = torch.tensor([torch.equal(old, here(self._parameters[name])) for name, old in self._before.items()])
        if self._before and is_split(self._model):
            over_all(same := same.int(), distributed.ReduceOp.MIN)
        frozen = [name for name, unchanged in zip(self._before, same.tolist()) if unchanged]
        trained = [name for name in unmoved if self._parameters[name].requires_grad]
        self.suspects = [name for name in trained if name not in self._before]
        self._before = {}
        if len(frozen) == len(self._parameters):
            return [LayerFinding("vanishing_update", None, "no weight of the model moves")]
        return _findings("frozen_parameters", frozen, self._model, "does not move, though it has a gradient")


def not_finite(model: nn.Module) -> tuple[str | None, str]:
    """The layer to name when loss or gradients are no numbers, and how: a weight first, then a gradient.

    The backward pass runs from the last layer to the first and what is not finite spreads on its way, so the last one
    is where it began. Where every layer has it, it came out of the loss.
    """
    weights = dict(model.named_parameters())
    # not their norms: squares overflow long before the weights do
    finite = torch.stack([here(weight.detach()).isfinite().all() for weight in weights.values()])
    if is_split(model):
        over_all(finite := finite.int(), distributed.ReduceOp.MIN)
    if bad := [name for name, good in zip(weights, finite.tolist()) if not good]:
        return bad[0], f"the weights of {_list(bad)} are not finite"
    gradients = layer_norms(model)
    bad = [name for name, norm in gradients.items() if not math.isfinite(norm)]
    if not bad or len(bad) == len(gradients):
        return None, "all weights are finite"
    return bad[-1], f"first in the gradient of {bad[-1]}"


def largest(model: nn.Module) -> str | None:
    """The layer with the largest gradient norm."""
    norms = layer_norms(model)
    return max(norms, key=lambda name: norms[name]) if norms else None


def _findings(kind: str, names: list[str], model: nn.Module, what: str) -> list[LayerFinding]:
    if not names:
        return []
    groups = list(_whole_blocks(names, model))
    return [LayerFinding(kind, groups[0], f"{_list(groups)} {what}")]


def _whole_blocks(names: Iterable[str], model: nn.Module) -> Iterator[str]:
    """The names, with those that make up the whole of a module told as that module."""
    left = dict.fromkeys(names)
    for module_name, module in model.named_modules():  # outer modules first
        inside = [f"{module_name}.{name}" for name, _ in module.named_parameters()]
        if module_name and len(inside) > 1 and all(name in left for name in inside):
            yield module_name
            for name in inside:
                del left[name]
    yield from left


def _list(names: list[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
