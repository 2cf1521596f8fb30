"""Attention kernels: ``ATTENTION[name](shape, site)`` mixes values by causal attention, [B, H, T, D] in and out."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptmill.model.dropout import KeyedDropout
from gptmill.registry import Registry
from gptmill.shapes import ModelShape

ATTENTION: Registry[type[nn.Module]] = Registry("attention_backend")


@ATTENTION.register("sdpa")
class Sdpa(nn.Module):
    """PyTorch's fused attention: flash, cuDNN or memory-efficient kernels where there are any.

    Its dropout draws from torch's generator, which the training step seeds anew for every micro-batch: exact on
    resume, but another split of the batch drops other elements. The manual kernel has keyed dropout.
    """

    def __init__(self, shape: ModelShape, site: int) -> None:
        super().__init__()
        self.p = shape.dropout

    def forward(self, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, keys_B: Tensor | None) -> Tensor:
        p = self.p if self.training and keys_B is not None else 0.0
        return F.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, dropout_p=p, is_causal=True)


@ATTENTION.register("manual")
class Manual(nn.Module):
    """The textbook formula. On a CPU at short contexts it beats the fused kernel, whose backward is slow there."""

    future_TT: Tensor

    def __init__(self, shape: ModelShape, site: int) -> None:
        super().__init__()
        T = shape.block_size
        self.drop = KeyedDropout(shape.dropout, site)
        self.register_buffer("future_TT", torch.empty(T, T), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.future_TT.fill_(-math.inf).triu_(1)

    def forward(self, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, keys_B: Tensor | None) -> Tensor:
        T, D = q_BHTD.shape[-2:]
        scores_BHTT = (q_BHTD / math.sqrt(D)) @ k_BHTD.transpose(-2, -1)
        scores_BHTT = scores_BHTT + self.future_TT[:T, :T].to(scores_BHTT.dtype)
        weight_BHTT = self.drop(scores_BHTT.softmax(dim=-1), keys_B)
        return weight_BHTT @ v_BHTD
