"""Normalizations: ``NORMS[name](dim, eps=, bias=)`` is a module that maps [..., dim] to [..., dim]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gptmill.registry import Registry

NORMS: Registry[type[nn.Module]] = Registry("normalization")


@NORMS.register("layernorm")
class LayerNorm(nn.LayerNorm):
    """Zero mean and unit variance, then a gain, and a bias when the model has biases (GPT-2, nanoGPT).

    Source: Ba et al. 2016, arXiv:1607.06450.
    """

    def __init__(self, dim: int, *, eps: float, bias: bool) -> None:
        super().__init__(dim, eps=eps, bias=bias)


@NORMS.register("layernorm_nobias")
class LayerNormNoBias(nn.LayerNorm):
    """LayerNorm that never has a bias, whatever the rest of the model has."""

    def __init__(self, dim: int, *, eps: float, bias: bool) -> None:
        super().__init__(dim, eps=eps, bias=False)


@NORMS.register("rmsnorm")
class RMSNorm(nn.RMSNorm):
    """Unit root mean square, then a gain; the mean stays (LLaMA).

    Source: Zhang & Sennrich 2019, arXiv:1910.07467.
    """

    def __init__(self, dim: int, *, eps: float, bias: bool) -> None:
        super().__init__(dim, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        # with a gain of another dtype torch falls back to a slow, unfused kernel
        return torch.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)
