"""One word for an architecture: ``12L-12H-768D-RoPE-RMS-SwiGLU-PreNorm``."""

from __future__ import annotations

from gptmill.shapes import ModelShape

POSITIONS = {"learned_absolute": "AbsPos", "rope": "RoPE", "sinusoidal": "SinPos", "none": "NoPos"}
NORMS = {"layernorm_nobias": "LN-NB", "rmsnorm": "RMS"}
FEEDFORWARDS = {
    **{"gelu": "GELU", "gelu_tanh": "GELU-tanh", "silu": "SiLU", "relu": "ReLU", "leaky_relu": "LeakyReLU"},
    "swiglu": "SwiGLU",
}


def architecture_name(shape: ModelShape) -> str:
    """Size, positions, norm, feed-forward, place of the norm; then what few models have. Unlisted parts keep their name.

    ffn_dim, tying and the biases of linear layers are not in it.
    """
    layernorm = "LN" if shape.bias else "LN-NB"  # without biases the two are one network
    ffn = shape.activation if shape.ffn_type == "standard" else shape.ffn_type
    words = [
        f"{shape.n_layer}L",
        f"{shape.n_head}H",
        f"{shape.n_embd}D",
        POSITIONS.get(shape.position_encoding, shape.position_encoding),
        layernorm if shape.normalization == "layernorm" else NORMS.get(shape.normalization, shape.normalization),
        FEEDFORWARDS.get(ffn, ffn),
        "PreNorm" if shape.norm_position == "pre" else "PostNorm",
    ]
    if shape.n_kv_head != shape.n_head:
        words.append(f"{shape.n_kv_head}KV")
    if shape.qk_norm:
        words.append("QKNorm")
    if shape.sliding_window:
        words.append(f"SW{shape.sliding_window}")
    return "-".join(words)
