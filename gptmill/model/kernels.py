"""Attention kernels: ``ATTENTION[name](shape, site)`` mixes values by causal attention.

Legend: B batch, H query heads, G key/value heads (a divisor of H), T queries, S keys, D head width. Queries [B, H, T, D]
are the last T of the S tokens whose keys and values [B, G, S, D] come with them: all of them in training, the new ones
when generating from a cache. Neighbouring query heads share a key/value head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptmill.model.dropout import KeyedDropout
from gptmill.registry import Registry
from gptmill.shapes import ModelShape

ATTENTION: Registry[type[nn.Module]] = Registry("attention_backend")


def visible(T: int, S: int, window: int, device: torch.device | str) -> Tensor:
    """Whether query t sees key s, bool [T, S]: no later key, and with a window (0 = none) only the last ``window``."""
    query_T1 = torch.arange(S - T, S, device=device).unsqueeze(1)
    key_S = torch.arange(S, device=device)
    seen_TS = key_S <= query_T1
    return seen_TS & (key_S > query_T1 - window) if window else seen_TS


@ATTENTION.register("sdpa")
class Sdpa(nn.Module):
    """PyTorch's fused attention: flash, cuDNN or memory-efficient kernels where there are any.

    Its dropout draws from torch's generator, which the training step seeds anew for every micro-batch: exact on
    resume, but another split of the batch drops other elements. The manual kernel has keyed dropout.
    """

    def __init__(self, shape: ModelShape, site: int) -> None:
        super().__init__()
        self.p = shape.dropout
        self.window = shape.sliding_window

    def forward(self, q_BHTD: Tensor, k_BGSD: Tensor, v_BGSD: Tensor, keys_B: Tensor | None) -> Tensor:
        p = self.p if self.training and keys_B is not None else 0.0
        H, T, G, S = q_BHTD.shape[1], q_BHTD.shape[2], k_BGSD.shape[1], k_BGSD.shape[2]
        if T == S and not 0 < self.window < S:  # the case with the fastest kernels
            return F.scaled_dot_product_attention(q_BHTD, k_BGSD, v_BGSD, dropout_p=p, is_causal=True, enable_gqa=G < H)
        if T == 1:  # generating: nothing is later, and no mask spares the fused kernel
            seen = slice(-self.window if self.window else None, None)
            k_BGsD, v_BGsD = k_BGSD[:, :, seen], v_BGSD[:, :, seen]
            return F.scaled_dot_product_attention(q_BHTD, k_BGsD, v_BGsD, dropout_p=p, enable_gqa=G < H)
        # with a mask only unfused kernels know groups, so each query head gets its keys and values
        k_BHSD, v_BHSD = (x.repeat_interleave(H // G, dim=1) for x in (k_BGSD, v_BGSD))
        seen_TS = visible(T, S, self.window, q_BHTD.device)
        return F.scaled_dot_product_attention(q_BHTD, k_BHSD, v_BHSD, attn_mask=seen_TS, dropout_p=p)


@ATTENTION.register("manual")
class Manual(nn.Module):
    """The textbook formula. On a CPU at short contexts it beats the fused kernel, whose backward is slow there."""

    bias_TT: Tensor

    def __init__(self, shape: ModelShape, site: int) -> None:
        super().__init__()
        T = shape.block_size
        self.window = shape.sliding_window
        self.drop = KeyedDropout(shape.dropout, site)
        self.register_buffer("bias_TT", torch.empty(T, T), persistent=False)  # 0 where seen, -inf elsewhere
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.bias_TT.is_meta:
            return  # nothing to fill yet
        T = self.bias_TT.shape[0]
        self.bias_TT.zero_().masked_fill_(~visible(T, T, self.window, self.bias_TT.device), -math.inf)

    def forward(self, q_BHTD: Tensor, k_BGSD: Tensor, v_BGSD: Tensor, keys_B: Tensor | None) -> Tensor:
        B, H, T, D = q_BHTD.shape
        G, S = k_BGSD.shape[1:3]
        # queries of one group stand one below the other, so that no key or value is copied
        grouped = (B, G, H // G * T)
        scores_BHTS = ((q_BHTD / math.sqrt(D)).reshape(*grouped, D) @ k_BGSD.transpose(-2, -1)).view(B, H, T, S)
        scores_BHTS = scores_BHTS + self.bias_TT[S - T : S, :S].to(scores_BHTS.dtype)
        weight_BHTS = self.drop(scores_BHTS.softmax(dim=-1), keys_B)
        return (weight_BHTS.view(*grouped, S) @ v_BGSD).view(B, H, T, D)
