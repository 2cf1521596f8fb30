"""ModelShape: everything that decides what the network is. No torch, no config, so plan, model and notebooks share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Penalty(NamedTuple):
    """What is added to the loss while training. Args: kind: a name in model/penalties.py. top_k: of top_k_mass."""

    kind: str
    weight: float
    top_k: int


@dataclass(frozen=True)
class ModelShape:
    """The settled architecture of one GPT.

    Every field has a value; nothing here is None or 'auto'. Two runs with equal shapes have interchangeable weights
    (``dropout``, ``attention_backend``, ``activation_checkpointing`` and ``chunked_loss`` change how they are computed, never
    which weights there are).

    Args:
        n_kv_head: heads of keys and values, a divisor of n_head; 0 becomes n_head.
        sliding_window: tokens that each token sees, itself included; 0 = all before it.
        activation_checkpointing: backward computes each block again instead of holding what it made.
        chunked_loss: logits exist for some positions at a time.
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
    n_kv_head: int = 0
    qk_norm: bool = False
    sliding_window: int = 0
    activation_checkpointing: bool = False
    chunked_loss: bool = True

    def __post_init__(self) -> None:
        if self.n_kv_head == 0:
            object.__setattr__(self, "n_kv_head", self.n_head)

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def kv_dim(self) -> int:
        """Width of all keys of one token, and of all values."""
        return self.n_kv_head * self.head_dim


class Counts(NamedTuple):
    """How big a network is. ``params_non_embedding`` leaves out position tables only, as nanoGPT does."""

    params: int
    params_non_embedding: int
    flops_per_token: int  # training: forward and backward
