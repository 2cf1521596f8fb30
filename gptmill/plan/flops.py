"""How big a model is and what a token costs, as closed forms. Tests hold them equal to the built model and to PyTorch's counter.

Legend: L n_layer, C n_embd, D head width, G n_kv_head, F ffn_dim, T block_size, V vocab_size.
"""

from __future__ import annotations

from typing import NamedTuple

from gptmill.shapes import Counts, ModelShape

# C x F matrices in one feed-forward layer: SwiGLU has a gate beside the way up and the way down (arXiv:2002.05202)
FFN_MATRICES = {"standard": 2, "swiglu": 3}
# vectors as wide as what is normalized, without and with bias=True
NORM_VECTORS = {"layernorm": (1, 2), "layernorm_nobias": (1, 1), "rmsnorm": (1, 1)}
# position tables of T x C trained numbers
POSITION_TABLES = {"learned_absolute": 1, "rope": 0, "sinusoidal": 0, "none": 0}


class Member(NamedTuple):
    """One row of a model's bill.

    Args:
        formula: of ``params`` in the legend's letters, or of ``flops`` where the member has no parameters of its own.
        flops: one token's way forward; matmuls only, as torch.utils.flop_counter counts them.
    """

    name: str
    formula: str
    params: int
    flops: int


def has_closed_form(shape: ModelShape) -> bool:
    """Whether every part of the shape is in the tables above; a part that is not has to be traced."""
    return (
        shape.ffn_type in FFN_MATRICES
        and shape.normalization in NORM_VECTORS
        and shape.position_encoding in POSITION_TABLES
    )


def members(shape: ModelShape) -> list[Member]:
    """The model, member by member; those that a shape has not are left out.

    Attention is the full T x T matrix, not its causal half or its window, because that is what PyTorch's counter and
    published MFU use.

    Source: Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix B, which gives 6N + 12LCT for training.
    """
    L, C, D, G = shape.n_layer, shape.n_embd, shape.head_dim, shape.n_kv_head
    F, T, V = shape.ffn_dim, shape.block_size, shape.vocab_size
    matrices = FFN_MATRICES[shape.ffn_type]
    vectors = NORM_VECTORS[shape.normalization][shape.bias]
    tables = POSITION_TABLES[shape.position_encoding]
    times = "" if vectors == 1 else f"{vectors} "
    queries, keys_values, ffn = C * C, 2 * C * G * D, matrices * C * F
    attention_bias, ffn_bias = 2 * C + 2 * G * D, (matrices - 1) * F + C
    rows = [
        Member("token embedding", "V C", V * C, 0),
        Member("position embedding", "T C", tables * T * C, 0),
        Member("queries", "L C C", L * queries, 2 * L * queries),
        Member("keys, values", "2 L C G D", L * keys_values, 2 * L * keys_values),
        Member("scores, mixing", "4 L T C FLOP", 0, 4 * L * T * C),
        Member("attention output", "L C C", L * C * C, 2 * L * C * C),
        Member("feed-forward", f"{matrices} L C F", L * ffn, 2 * L * ffn),
        Member("attention biases", "L (2 C + 2 G D)", L * attention_bias if shape.bias else 0, 0),
        Member(
            "feed-forward biases",
            "L (2 F + C)" if matrices == 3 else "L (F + C)",
            L * ffn_bias if shape.bias else 0,
            0,
        ),
        Member("norms", f"{times}(2 L + 1) C", vectors * (2 * L + 1) * C, 0),
        Member("query, key norms", f"{2 * vectors} L D", 2 * vectors * L * D if shape.qk_norm else 0, 0),
        Member(
            "output head", "2 V C FLOP" if shape.weight_tying else "V C", 0 if shape.weight_tying else V * C, 2 * V * C
        ),
    ]
    return [row for row in rows if row.params or row.flops]


def params(shape: ModelShape) -> int:
    """Trained parameters of the whole model; a tied head shares the token embedding's and is counted once.

    Source: GPT-2 as released, 124,439,808 at V=50257 with biases (Radford et al. 2019 print 117M, a known slip).
    """
    return sum(member.params for member in members(shape))


def params_non_embedding(shape: ModelShape) -> int:
    """All parameters but the position embeddings, which is what nanoGPT calls non-embedding.

    The token embedding stays in because a tied one also serves as the output head.

    Source: nanoGPT model.py, get_num_params.
    """
    return params(shape) - POSITION_TABLES[shape.position_encoding] * shape.block_size * shape.n_embd


def flops_per_token(shape: ModelShape) -> int:
    """Training FLOP per token: forward, and twice that backward (one matmul each for inputs and weights)."""
    return 3 * sum(member.flops for member in members(shape))


def counts(shape: ModelShape) -> Counts:
    return Counts(params(shape), params_non_embedding(shape), flops_per_token(shape))


def default_ffn_dim(n_embd: int, ffn_type: str) -> int:
    """4C for two matrices; int(8C / 3) for three, which costs the same.

    Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2; LLaMA rounds it up to a multiple of 256, we do not.
    """
    return 8 * n_embd // FFN_MATRICES.get(ffn_type, 2)


class Parts(NamedTuple):
    """One token's way forward through all layers [FLOP], matmuls only; together they are a third of flops_per_token.

    Args:
        projections: queries, keys, values and the way out of attention.
        scores: queries times keys, and weights times values, over the full T x T square.
    """

    projections: int
    scores: int
    feed_forward: int
    head: int

    def attention_to_ffn(self, *, causal: bool) -> float:
        """Attention's work over the feed-forward's; ``causal`` counts the half of the square that a mask leaves."""
        return (self.projections + self.scores / (2 if causal else 1)) / self.feed_forward


def parts(shape: ModelShape) -> Parts:
    """Where a token's FLOP go."""
    by_name = {member.name: member.flops for member in members(shape)}
    return Parts(
        projections=sum(by_name[name] for name in ("queries", "keys, values", "attention output")),
        scores=by_name["scores, mixing"],
        feed_forward=by_name["feed-forward"],
        head=by_name["output head"],
    )


# operations on each number of a vector, by the textbook formula: mean, difference, square, sum, two scalings; a bias
# adds one. RMSNorm has neither mean nor difference.
NORM_WORK = {"layernorm": (6, 7), "layernorm_nobias": (6, 6), "rmsnorm": (4, 4)}
ROTATION_WORK = 3  # on each number: four products and two sums turn a pair


def elementwise(shape: ModelShape) -> dict[str, int]:
    """Work of one token's way forward that is no matmul [operations]; MFU leaves it out, as PaLM's does.

    On a GPU it costs memory traffic, not arithmetic: counting it would make a slow kernel look useful.

    Returns:
        operations by kind; a kind that the shape has not, or that has no formula above, is left out.
    """
    L, C = shape.n_layer, shape.n_embd
    heads = L * (C + shape.kv_dim)  # numbers in all queries and keys
    found = {"rotations": ROTATION_WORK * heads if shape.position_encoding == "rope" else 0}
    if shape.normalization in NORM_WORK:
        each = NORM_WORK[shape.normalization][shape.bias]
        found["norms"] = each * ((2 * L + 1) * C + (heads if shape.qk_norm else 0))
    return {name: work for name, work in found.items() if work}
