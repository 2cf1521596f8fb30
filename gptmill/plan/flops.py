"""How big a model is and what a token costs, as closed forms. Tests hold them equal to the built model and to PyTorch's counter.

Legend: L n_layer, C n_embd, F ffn_dim, T block_size, V vocab_size.
"""

from __future__ import annotations

from gptmill.shapes import ModelShape

# C x F matrices in one feed-forward layer: SwiGLU has a gate beside the way up and the way down (arXiv:2002.05202)
FFN_MATRICES = {"standard": 2, "swiglu": 3}


def params(shape: ModelShape) -> int:
    """Trained parameters of the whole model; a tied head shares the token embedding's and is counted once.

    Source: GPT-2 as released, 124,439,808 at V=50257 with biases (Radford et al. 2019 print 117M, a known slip).
    """
    C, F, V = shape.n_embd, shape.ffn_dim, shape.vocab_size
    matrices = FFN_MATRICES[shape.ffn_type]
    norm = C + (C if shape.bias and shape.normalization == "layernorm" else 0)
    block = 4 * C * C + matrices * C * F + 2 * norm  # 4 = queries, keys, values, output
    if shape.bias:
        block += 4 * C + (matrices - 1) * F + C
    embeddings = V * C + _position_embeddings(shape)
    head = 0 if shape.weight_tying else V * C
    return embeddings + shape.n_layer * block + norm + head


def params_non_embedding(shape: ModelShape) -> int:
    """All parameters but the position embeddings, which is what nanoGPT calls non-embedding.

    The token embedding stays in because a tied one also serves as the output head.

    Source: nanoGPT model.py, get_num_params.
    """
    return params(shape) - _position_embeddings(shape)


def forward_flops(shape: ModelShape) -> dict[str, int]:
    """FLOP of one token's way forward by member: matmuls only, as torch.utils.flop_counter counts them.

    Attention is the full T x T matrix, not its causal half, because that is what the counter and published MFU use.

    Source: Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix B, which gives 6N + 12LCT for training.
    """
    L, C, F, T, V = shape.n_layer, shape.n_embd, shape.ffn_dim, shape.block_size, shape.vocab_size
    return {
        "projections": L * 8 * C * C,  # 2 FLOP x (3 C^2 in, C^2 out)
        "attention": L * 4 * T * C,  # 2 FLOP x (scores, mixing)
        "ffn": L * 2 * FFN_MATRICES[shape.ffn_type] * C * F,
        "head": 2 * V * C,
    }


def flops_per_token(shape: ModelShape) -> int:
    """Training FLOP per token: forward, and twice that backward (one matmul each for inputs and weights)."""
    return 3 * sum(forward_flops(shape).values())


def default_ffn_dim(n_embd: int, ffn_type: str) -> int:
    """4C for two matrices; int(8C / 3) for three, which costs the same.

    Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2; LLaMA rounds it up to a multiple of 256, we do not.
    """
    return 8 * n_embd // FFN_MATRICES[ffn_type]


def _position_embeddings(shape: ModelShape) -> int:
    return shape.block_size * shape.n_embd if shape.position_encoding == "learned_absolute" else 0
