"""``freeze``: which weights stay as they are, by name, and how many numbers that leaves to train."""

from __future__ import annotations

from dataclasses import dataclass

from gptmill.config.schema import Config
from gptmill.config.wording import one_line
from gptmill.errors import ConfigError
from gptmill.plan.flops import FFN_MATRICES, NORM_VECTORS, POSITION_TABLES, has_closed_form
from gptmill.plan.types import covers
from gptmill.registry import nearest
from gptmill.shapes import ModelShape


@dataclass(frozen=True)
class Frozen:
    """Args: patterns: of names; params: numbers in the weights that they cover."""

    patterns: tuple[str, ...] = ()
    params: int = 0


def settle_freeze(config: Config, shape: ModelShape) -> Frozen:
    """The patterns, and what they cover. A model with a part of one's own is looked at when it is built.

    Raises:
        ConfigError: a pattern covers nothing, or all of them together everything.
    """
    patterns = tuple(word.strip() for word in config.freeze.split(",") if word.strip())
    if not patterns or not has_closed_form(shape):
        return Frozen(patterns)
    sizes = weight_sizes(shape)
    for pattern in patterns:
        if not any(covers((pattern,), name) for name in sizes):
            parts = {".".join(name.split(".")[:n]) for name in sizes for n in (1, 2, 3, 4)}
            hint = (
                nearest(pattern, sorted(parts))
                or "; weights are called wte, position.wpe, blocks.0.attn.c_attn, norm_f"
            )
            raise ConfigError(
                f"freeze={one_line(config.freeze, 60)}: no weight is called {one_line(pattern, 40)}{hint}"
            )
    held = sum(numbers for name, numbers in sizes.items() if covers(patterns, name))
    if held == sum(sizes.values()):
        raise ConfigError(f"freeze={one_line(config.freeze, 60)}: leaves nothing to train; freeze less, or --eval_only")
    return Frozen(patterns, held)


def weight_sizes(shape: ModelShape) -> dict[str, int]:
    """Every weight of a model by the name that PyTorch has for it, and its numbers; a tied head is the embedding.

    Letters as in flops.py.
    """
    C, F, D = shape.n_embd, shape.ffn_dim, shape.head_dim
    vectors = NORM_VECTORS[shape.normalization][shape.bias]
    sizes = {"wte.weight": shape.vocab_size * C}
    if POSITION_TABLES[shape.position_encoding]:
        sizes["position.wpe.weight"] = shape.block_size * C

    def norm(name: str, width: int) -> None:
        sizes[f"{name}.weight"] = width
        if vectors == 2:
            sizes[f"{name}.bias"] = width

    def linear(name: str, columns: int, rows: int) -> None:
        sizes[f"{name}.weight"] = columns * rows
        if shape.bias:
            sizes[f"{name}.bias"] = rows

    for layer in range(shape.n_layer):
        block = f"blocks.{layer}"
        norm(f"{block}.norm_1", C)
        linear(f"{block}.attn.c_attn", C, C + 2 * shape.kv_dim)
        linear(f"{block}.attn.c_proj", C, C)
        if shape.qk_norm:
            norm(f"{block}.attn.q_norm", D)
            norm(f"{block}.attn.k_norm", D)
        norm(f"{block}.norm_2", C)
        linear(f"{block}.mlp.c_fc", C, (FFN_MATRICES[shape.ffn_type] - 1) * F)
        linear(f"{block}.mlp.c_proj", F, C)
    norm("norm_f", C)
    if not shape.weight_tying:
        sizes["lm_head.weight"] = shape.vocab_size * C
    return sizes
