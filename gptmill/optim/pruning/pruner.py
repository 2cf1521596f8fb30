"""Masks over a model's linear layers: which weights are zero for good, and when more become so."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

from gptmill.optim.pruning.methods import METHODS
from gptmill.optim.pruning.ramp import is_due, sparsity_at, target_of
from gptmill.optim.pruning.select import key_of, threshold
from gptmill.plan.types import Plan

PREFIX = "pruning."  # of the tensors that a checkpoint holds of a pruner


def prunable(model: nn.Module, tied_head: bool) -> dict[str, nn.Parameter]:
    """The matrices of all linear layers that train, by name, in the model's order.

    Args:
        tied_head: the head too where it is the embedding as well; one of its own is always a linear layer like others.
    """
    matrices = {module.weight for module in model.modules() if isinstance(module, nn.Linear)}
    if not tied_head:
        matrices -= {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    return {name: weight for name, weight in model.named_parameters() if weight in matrices and weight.requires_grad}


class Pruner:
    """Prunes a model while it trains. What is pruned stays zero, and one threshold holds for all layers together.

    Args:
        optimizer: the one whose moments ``state`` reads.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, plan: Plan) -> None:
        self.plan, self._optimizer = plan, optimizer
        self._method = METHODS[plan.pruning_method]()
        self._weights = prunable(model, plan.prune_tied_head)
        # True: kept, as in torch.nn.utils.prune
        self._masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in self._weights.items()}
        self._kept: dict[str, Tensor] = {}  # made before the first update: weights may still be read from somewhere
        self._zeros = dict.fromkeys(self._weights, 0)
        self._news = False

    @property
    def n_prunable(self) -> int:
        return sum(weight.numel() for weight in self._weights.values())

    @property
    def n_pruned(self) -> int:
        return sum(self._zeros.values())

    @property
    def sparsity(self) -> float:
        return self.n_pruned / self.n_prunable

    @property
    def target(self) -> int:
        """Weights that are zero in the end."""
        return target_of(self.plan, self.n_prunable)

    @property
    def complete(self) -> bool:
        return self.n_pruned >= self.target

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds: a mask for each weight, and what the method keeps of it."""
        found = {f"{PREFIX}{name}.mask": mask for name, mask in self._masks.items()}
        return found | {f"{PREFIX}{name}.{self._method.keeps}": kept for name, kept in self._kept.items()}

    def restore(self, saved: dict[str, Tensor]) -> list[str]:
        """Take over what a checkpoint holds; returns the names of what does not fit the model.

        What it lacks, as one of a run that pruned otherwise or not at all, begins with the weights as they are.
        """
        kept = {name: saved.get(f"{PREFIX}{name}.{self._method.keeps}") for name in self._weights}
        masks = {name: saved.get(f"{PREFIX}{name}.mask") for name in self._weights}
        strange = [
            name
            for name, weight in self._weights.items()
            for tensor, dtype in ((masks[name], torch.bool), (kept[name], weight.dtype))
            if tensor is not None and (tensor.shape != weight.shape or tensor.dtype != dtype)
        ]
        if not strange:
            self._kept = {
                name: k.to(self._weights[name].device, copy=True) for name, k in kept.items() if k is not None
            }
            for name, mask in self._masks.items():
                found = masks[name]
                mask.fill_(True) if found is None else mask.copy_(found)
        return strange

    def forget_unless(self, known: Collection[str]) -> None:
        """Begin anew to keep what is not among the names of these tensors: the weights are those of an earlier moment."""
        if not self.tensors.keys() <= set(known):
            self._kept = {}

    def recount(self) -> None:
        """The masks are others now."""
        if self._weights:
            zeros = torch.stack([(~mask).sum() for mask in self._masks.values()]).tolist()
            self._zeros = dict(zip(self._masks, map(int, zeros)))

    def begin(self) -> None:
        """Gradients are there: keep what must be known of the beginning, and leave pruned weights out of all that follows."""
        if self._method.keeps and not self._kept:
            self._kept = {name: self._method.begin(w.detach()) for name, w in self._weights.items()}
        if self._method.masks_all and self.n_pruned:
            for name, weight in self._weights.items():
                if weight.grad is not None:
                    weight.grad.masked_fill_(~self._masks[name], 0.0)

    @torch.no_grad()
    def learn(self, grad_norm: float) -> None:
        """The update is about to be taken; a norm that is not finite means that float16 will skip it."""
        if math.isfinite(grad_norm):
            for name, kept in self._kept.items():
                gradient = self._weights[name].grad
                if gradient is not None:
                    self._method.learn(kept, self._weights[name].detach(), gradient)

    @torch.no_grad()
    def prune(self, step: int) -> bool:
        """After update ``step``: prune more if that is due, and set to zero what the update moved.

        Returns:
            whether the target is met with this step.
        """
        wanted = round(sparsity_at(step, self.plan) * self.n_prunable)
        more = is_due(step, self.plan) and wanted > self.n_pruned
        if more:
            self._prune(wanted)
            self._news = True
        if self.n_pruned:
            self._apply()
        return more and self.complete

    def news(self) -> dict[str, Any] | None:
        """How much of each layer is pruned, once after that has changed."""
        told, self._news = self._news, False
        return self.standing() if told else None

    def standing(self) -> dict[str, Any]:
        """How much is pruned, of all and of each layer; ``complete`` once the target is met."""
        layers = {name: zeros / self._weights[name].numel() for name, zeros in self._zeros.items()}
        return {
            "pruned": self.n_pruned,
            "prunable": self.n_prunable,
            "complete": self.complete,
            "layers": layers,
        }

    def _prune(self, wanted: int) -> None:
        keys = {name: self._keys_of(name) for name in self._weights}
        lowest, tied = threshold(list(keys.values()), wanted)
        for name, mask in self._masks.items():
            found = keys[name]()
            mask &= found >= lowest
            equal = (found == lowest).flatten().nonzero().squeeze(1)[:tied]  # the first of equals go
            mask.view(-1)[equal] = False
            tied -= len(equal)
        self.recount()

    def _keys_of(self, name: str) -> Callable[[], Tensor]:
        def keys() -> Tensor:
            weight = self._weights[name]
            score = self._method.score(weight.detach(), self._kept.get(name), self._optimizer.state.get(weight, {}))
            return key_of(score.masked_fill(~self._masks[name], -math.inf))

        return keys

    def _apply(self) -> None:
        for name, weight in self._weights.items():
            if self._zeros[name]:
                gone = ~self._masks[name]
                weight.masked_fill_(gone, 0.0)
                if self._method.masks_all:
                    for moment in self._optimizer.state.get(weight, {}).values():
                        if isinstance(moment, Tensor) and moment.shape == weight.shape:
                            moment.masked_fill_(gone, 0.0)
