"""The architecture and the vocabulary, settled: from what was asked and what the data needs to a ModelShape."""

from __future__ import annotations

from gptmill.config.schema import Config
from gptmill.errors import ConfigError, DataError
from gptmill.plan.flops import default_ffn_dim
from gptmill.plan.hardware import settle_attention
from gptmill.plan.types import DataFacts, Machine
from gptmill.shapes import ModelShape

GPT2_VOCAB_SIZE = 50304  # 50,257 rounded up to a multiple of 64, as nanoGPT assumes without meta data
# every byte and an end of text; OpenAI's vocabularies
FIXED_VOCAB_SIZES = (
    {"byte": 257, "gpt2": 50257} | dict.fromkeys(("gpt4", "cl100k"), 100277) | dict.fromkeys(("gpt4o", "o200k"), 200019)
)


def settle_shape(config: Config, data: DataFacts | None, machine: Machine) -> ModelShape:
    """Fill in the vocabulary, the feed-forward width and the attention kernel.

    Raises:
        ConfigError: a vocabulary smaller than the data's.
    """
    if data and data.vocab_size and config.vocab_size is not None and config.vocab_size < data.vocab_size:
        raise ConfigError(
            f"vocab_size={config.vocab_size}: {config.dataset} has ids up to {data.vocab_size - 1}; "
            f"try vocab_size={_rounded(data.vocab_size)} or leave it out"
        )
    return ModelShape(
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_embd=config.n_embd,
        block_size=config.block_size,
        vocab_size=_vocab_size(config, data),
        ffn_dim=config.ffn_dim or default_ffn_dim(config.n_embd, config.ffn_type),
        dropout=config.dropout,
        bias=config.bias,
        weight_tying=config.weight_tying,
        normalization=config.normalization,
        norm_eps=config.norm_eps,
        norm_position=config.norm_position,
        position_encoding=config.position_encoding,
        rope_theta=config.rope_theta,
        ffn_type=config.ffn_type,
        activation=config.activation,
        attention_backend=settle_attention(config, machine),
        n_kv_head=config.n_kv_head or config.n_head,
        qk_norm=config.qk_norm,
        sliding_window=_window(config),
        activation_checkpointing=config.activation_checkpointing,
        chunked_loss=config.chunked_loss,
    )


def _window(config: Config) -> int:
    """0 = off, also for a window that hides nothing."""
    window = 0 if config.sliding_window == "off" else config.sliding_window
    return window if window < config.block_size else 0


def expected_vocab_size(tokenizer: str | None) -> int | None:
    """Ids of a tokenizer that has not met its text yet; None for char, which depends on the text, and for no name."""
    kind, _, size = (tokenizer or "").partition("-")
    return int(size) if kind == "bpe" else FIXED_VOCAB_SIZES.get(kind)


def how_to_prepare(config: Config) -> str:
    """The commands for a dataset that is not there, known by name or the user's own."""
    name = f"{config.dataset} --data_dir {config.data_dir}" if config.data_dir != "data" else config.dataset
    return f"gptmill prepare --dataset {name}, or with text of your own --input FILE_OR_DIR --name {name}"


def check_data(config: Config, data: DataFacts | None) -> None:
    """Raise DataError naming each split that is shorter than one window and its last target."""
    if data is None:
        return
    needed = config.block_size + 1
    problems = [
        f"{data.path}/{split}.bin has {n_tokens} tokens, needs at least block_size+1 = {needed}; "
        + (f"try block_size={n_tokens - 1} or more text" if n_tokens > 2 else "prepare more text")
        for split, n_tokens in (("train", data.train_tokens), ("val", data.val_tokens))
        if n_tokens < needed
    ]
    if problems:
        raise DataError(*problems)


def check_top_k(config: Config, vocab_size: int) -> None:
    """Raise ConfigError where the largest probabilities are all that there are: their sum is 1 whatever the model says."""
    if config.penalty_type == "top_k_mass" and config.penalty_top_k >= vocab_size:
        says = f"the vocabulary has {vocab_size:,} tokens, so the penalty would always be 0"
        raise ConfigError(f"penalty_top_k={config.penalty_top_k}: {says}; try penalty_top_k={min(5, vocab_size // 2)}")


def check_targets(config: Config, data: DataFacts | None) -> None:
    """Raise ConfigError for a penalty where prompts are only read: its mean is not taken over the same tokens."""
    if data and data.counted_tokens is not None and config.penalty_type != "none" and config.penalty_weight:
        raise ConfigError(
            f"penalty_type={config.penalty_type}: not with {data.path}, whose prompts are only read; leave it out"
        )


def _vocab_size(config: Config, data: DataFacts | None) -> int:
    if config.vocab_size is not None:
        return config.vocab_size
    known = data.vocab_size if data else None
    return _rounded(known or expected_vocab_size(config.tokenizer) or GPT2_VOCAB_SIZE)


def _rounded(vocab_size: int) -> int:
    """Up to a multiple of 64 above 1,024, where the output matmul is worth aligning."""
    return vocab_size if vocab_size <= 1024 else -(-vocab_size // 64) * 64
