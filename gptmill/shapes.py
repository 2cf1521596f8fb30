"""ModelShape: everything that decides what the network is. No torch, no config, so plan, model and notebooks share it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelShape:
    """The settled architecture of one GPT.

    Every field has a value; nothing here is None or 'auto'. Two runs with equal shapes have interchangeable weights
    (``dropout`` and ``attention_backend`` change how they are computed, never which weights there are).
    """

    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    block_size: int = 1024
    vocab_size: int = 50304
    ffn_dim: int = 3072
    dropout: float = 0.0
    bias: bool = False
    weight_tying: bool = True
    normalization: str = "layernorm"
    norm_eps: float = 1e-5
    norm_position: str = "pre"
    position_encoding: str = "learned_absolute"
    rope_theta: float = 10000.0
    ffn_type: str = "standard"
    activation: str = "gelu"
    attention_backend: str = "sdpa"

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head
