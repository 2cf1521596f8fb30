"""Feed-forward layers: ``FEEDFORWARDS[name](shape)`` maps [B, T, C] to [B, T, C]; C width, F hidden width."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from gptmill.registry import Registry
from gptmill.shapes import ModelShape

ACTIVATIONS: Registry[Callable[[Tensor], Tensor]] = Registry("activation")
FEEDFORWARDS: Registry[type[nn.Module]] = Registry("ffn_type")


ACTIVATIONS.register("gelu")(F.gelu)
ACTIVATIONS.register("gelu_tanh")(
    partial(F.gelu, approximate="tanh")
)  # as OpenAI trained GPT-2; 4 times slower on a CPU
ACTIVATIONS.register("silu")(F.silu)
ACTIVATIONS.register("relu")(F.relu)
ACTIVATIONS.register("leaky_relu")(F.leaky_relu)  # slope 0.01 below zero


@FEEDFORWARDS.register("standard")
class Standard(nn.Module):
    """Widen, bend, narrow (GPT-2)."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.c_fc = nn.Linear(shape.n_embd, shape.ffn_dim, bias=shape.bias)
        self.c_proj = nn.Linear(shape.ffn_dim, shape.n_embd, bias=shape.bias)
        self.activation = ACTIVATIONS[shape.activation]

    def forward(self, x_BTC: Tensor) -> Tensor:
        hidden_BTF = self.activation(self.c_fc(x_BTC))
        return self.c_proj(hidden_BTF)


@FEEDFORWARDS.register("swiglu")
class SwiGLU(nn.Module):
    """A SiLU gate times a linear path, then narrow (LLaMA). Gate and linear path are one matmul: rows [gate; up].

    Source: Shazeer 2020, arXiv:2002.05202.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.c_fc = nn.Linear(shape.n_embd, 2 * shape.ffn_dim, bias=shape.bias)
        self.c_proj = nn.Linear(shape.ffn_dim, shape.n_embd, bias=shape.bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        gate_BTF, up_BTF = self.c_fc(x_BTC).chunk(2, dim=-1)
        return self.c_proj(F.silu(gate_BTF) * up_BTF)
