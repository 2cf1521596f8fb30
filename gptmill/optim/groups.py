"""Which parameters decay: matrices do, vectors (norm gains, biases) do not."""

from __future__ import annotations

from typing import Any

from torch import nn


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimizer groups in the order of ``named_parameters``; a tied matrix is listed once.

    Embeddings are matrices and decay, as in GPT-2 and nanoGPT.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
