"""Which parameters decay: matrices do, vectors (norm gains, biases) do not. And which of the matrices are hidden ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor, nn

from gptmill.plan.types import Plan


def decay_groups(
    model: nn.Module, weight_decay: float, without: Collection[Tensor] = frozenset()
) -> list[dict[str, Any]]:
    """Two optimizer groups in the order of ``named_parameters``; a tied matrix is listed once.

    Embeddings are matrices and decay, as in GPT-2 and nanoGPT.

    Args:
        without: parameters that somebody else updates.
    """
    parameters = [p for p in model.parameters() if p.requires_grad and p not in without]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def hidden_matrices(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The matrices of linear maps in the layers that a model repeats, by name: neither embeddings nor the head."""
    for name, repeated in model.named_modules():
        if isinstance(repeated, nn.ModuleList):
            for inner, module in repeated.named_modules():
                if isinstance(module, nn.Linear) and module.weight.requires_grad:
                    yield f"{name}.{inner}.weight", module.weight


def has_fused_kernels(plan: Plan) -> bool:
    """Whether PyTorch is to update all parameters in one kernel, and has one on the plan's device."""
    return plan.fused_optimizer and plan.device.split(":")[0] in ("cpu", "cuda", "mps")
