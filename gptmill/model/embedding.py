"""A table of vectors, one for each token or each position."""

from __future__ import annotations

from torch import nn


class Embedding(nn.Embedding):
    """PyTorch's; where it holds no numbers yet, none are drawn: PyTorch would import its compiler for that (1.3 s)."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()
