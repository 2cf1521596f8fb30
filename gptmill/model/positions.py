"""Position encodings: how a token knows where it stands.

A part of this kind may act at two places: ``forward`` on the embeddings [B, T, C], and ``rotate`` on each layer's
queries [B, H, T, D] and keys [B, G, T, D]. It leaves alone what it does not need. ``start`` is the position of the first of
the T tokens: 0 in training, the number of tokens already read when generating.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gptmill.model.embedding import Embedding
from gptmill.registry import Registry
from gptmill.shapes import ModelShape

POSITIONS: Registry[type[Position]] = Registry("position_encoding")


@POSITIONS.register("none")
class Position(nn.Module):
    """Does nothing at either place; encodings override what they use.

    Alone, it leaves order to the causal mask, which is enough to learn from.
    Source: Kazemnejad et al. 2023, arXiv:2305.19466.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()

    def forward(self, x_BTC: Tensor, start: int = 0) -> Tensor:
        return x_BTC

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        return q_BHTD, k_BGTD


@POSITIONS.register("learned_absolute")
class LearnedAbsolute(Position):
    """One trained vector per position, added to the token embedding (GPT-2)."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__(shape)
        self.wpe = Embedding(shape.block_size, shape.n_embd)

    def forward(self, x_BTC: Tensor, start: int = 0) -> Tensor:
        return x_BTC + self.wpe.weight[start : start + x_BTC.shape[1]]


@POSITIONS.register("sinusoidal")
class Sinusoidal(Position):
    """Fixed waves added to the token embeddings, which are scaled up by sqrt(C) so as not to drown in them.

    Source: Vaswani et al. 2017, arXiv:1706.03762, sections 3.4 and 3.5: feature 2i is sin(position / 10000^(2i/C)),
    feature 2i+1 its cosine.
    """

    wave_TC: Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__(shape)
        self.register_buffer("wave_TC", torch.empty(shape.block_size, shape.n_embd), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.wave_TC.is_meta:
            return  # nothing to fill yet
        T, C = self.wave_TC.shape
        frequency_C = 10000.0 ** (-torch.arange(0, C, 2, dtype=torch.float64) / C)
        angle_TC = torch.outer(torch.arange(T, dtype=torch.float64), frequency_C)
        self.wave_TC[:, 0::2].copy_(angle_TC.sin())
        self.wave_TC[:, 1::2].copy_(angle_TC.cos()[:, : C // 2])

    def forward(self, x_BTC: Tensor, start: int = 0) -> Tensor:
        T, C = x_BTC.shape[1:]
        return x_BTC * math.sqrt(C) + self.wave_TC[start : start + T].to(x_BTC.dtype)


@POSITIONS.register("rope")
class RoPE(Position):
    """Turns each pair of neighbouring query and key features by an angle proportional to the position.

    Pairs are interleaved (features 2i and 2i+1), as in the paper and in Meta's LLaMA; Hugging Face stores the same
    model with the pairs split into halves.

    Source: Su et al. 2021, arXiv:2104.09864: angle = position * theta^(-2i/D).
    """

    cos_TD: Tensor
    sin_TD: Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__(shape)
        self.shape = shape
        self.register_buffer("cos_TD", torch.empty(shape.block_size, shape.head_dim), persistent=False)
        self.register_buffer("sin_TD", torch.empty(shape.block_size, shape.head_dim), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.cos_TD.is_meta:
            return  # nothing to fill yet
        T, D = self.cos_TD.shape
        exponent_d = torch.arange(0, D, 2, dtype=torch.float64) / D
        angle_Td = torch.outer(torch.arange(T, dtype=torch.float64), self.shape.rope_theta**-exponent_d)
        sin_Td = angle_Td.sin()
        self.cos_TD.copy_(angle_Td.cos().repeat_interleave(2, dim=-1))
        self.sin_TD.copy_(torch.stack((-sin_Td, sin_Td), dim=-1).flatten(-2))

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        here = slice(start, start + q_BHTD.shape[2])
        cos_TD, sin_TD = self.cos_TD[here].to(q_BHTD.dtype), self.sin_TD[here].to(q_BHTD.dtype)

        def turn(x_BHTD: Tensor) -> Tensor:
            # whole rows at once: arithmetic on every second feature is far slower on a CPU, its backward above all
            swapped_BHTD = torch.stack((x_BHTD[..., 1::2], x_BHTD[..., 0::2]), dim=-1).flatten(-2)
            return torch.addcmul(swapped_BHTD * sin_TD, x_BHTD, cos_TD)

        return turn(q_BHTD), turn(k_BGTD)
