"""config.json of a Hugging Face model, and the ModelShape that it describes; both ways, without torch.

GPT-2's layout and LLaMA's (with Mistral's window and Qwen3's query-key norm) are known. What the other side has no word for is
refused by name: a model that computes something else under a familiar name would be worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gptmill.errors import UserError
from gptmill.shapes import ModelShape

ACTIVATIONS = {  # theirs -> ours
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "leaky_relu": "leaky_relu",
}
THEIRS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "silu": "silu", "relu": "relu", "leaky_relu": "leaky_relu"}
LLAMA_LIKE = ("llama", "mistral", "qwen3")
CLASSES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
OURS = "gptmill"  # a key of config.json: what of our shape GPT-2's layout writes out as biases of zero

# As OpenAI published them. Source: Radford et al. 2019, table 2, and the hub's config.json of each.
PUBLISHED = {
    name: ModelShape(n_layer=layers, n_head=heads, n_embd=width, ffn_dim=4 * width, vocab_size=50257, bias=True,
                     activation="gelu_tanh")
    for name, layers, heads, width in (
        ("gpt2", 12, 12, 768), ("gpt2-medium", 24, 16, 1024), ("gpt2-large", 36, 20, 1280), ("gpt2-xl", 48, 25, 1600),
    )
}  # fmt: skip


def shape_of(config: Mapping[str, Any], where: str) -> ModelShape:
    """The shape that a config.json describes; dropout is left at 0, it is no property of weights.

    Args:
        where: the file, for messages.

    Raises:
        UserError: another architecture, or an option of it that computes what we do not; one line each.
    """
    keys = _Keys(config, where)
    if isinstance(how := config.get("quantization_config"), dict):
        keys.problems.append(
            f"{where}: quantization_config={how.get('quant_method')!r:.40}: its weights are codes, not numbers; take the model "
            f"they were made of"
        )
    kind = config.get("model_type")
    if kind == "gpt2":
        shape = _gpt2(keys)
    elif kind in LLAMA_LIKE:
        shape = _llama(keys, str(kind))
    else:
        raise UserError(
            f"{where}: model_type={kind!r:.60} is none of {', '.join(CLASSES)}; name a model of these kinds"
        )
    if keys.problems:
        raise UserError(*keys.problems)
    return shape


class _Keys:
    """A config.json that may be anyone's: every value is looked at before it is believed."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self.config = config
        self.where = where
        self.problems: list[str] = []

    def whole(self, key: str, otherwise: int | None = None) -> int:
        value = self.config.get(key)
        value = otherwise if value is None else value
        if type(value) is int and value > 0:
            return value
        self.problems.append(f"{self.where}: {key}={value!r:.40}: must be a whole number, at least 1")
        return 1

    def number(self, key: str, otherwise: float) -> float:
        return self.positive(key, self.config.get(key, otherwise))

    def positive(self, key: str, value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
        self.problems.append(f"{self.where}: {key}={value!r:.40}: must be a number above 0")
        return 1.0

    def switch(self, key: str, otherwise: bool) -> bool:
        return self.config.get(key, otherwise) is True

    def must_be(self, key: str, *values: object) -> None:
        """Raise a problem unless the key is absent or one of these."""
        if (value := self.config.get(key, values[0])) not in values:
            self.problems.append(f"{self.where}: {key}={value!r:.40} computes what gptmill has no part for")


def _gpt2(keys: _Keys) -> ModelShape:
    keys.must_be("scale_attn_weights", True)
    keys.must_be("scale_attn_by_inverse_layer_idx", False, None)
    keys.must_be("add_cross_attention", False, None)
    keys.must_be("activation_function", "gelu_new", *ACTIVATIONS)
    width = keys.whole("n_embd", 768)
    own = keys.config.get(OURS)
    ours: dict[str, Any] = own if isinstance(own, dict) else {}
    return ModelShape(
        n_layer=keys.whole("n_layer", 12),
        n_head=keys.whole("n_head", 12),
        n_embd=width,
        block_size=keys.whole("n_positions", 1024),
        vocab_size=keys.whole("vocab_size", 50257),
        ffn_dim=keys.whole("n_inner", 4 * width),
        bias=ours.get("bias") is not False,
        weight_tying=keys.switch("tie_word_embeddings", True),
        normalization="layernorm_nobias" if ours.get("normalization") == "layernorm_nobias" else "layernorm",
        norm_eps=keys.number("layer_norm_epsilon", 1e-5),
        activation=ACTIVATIONS.get(str(keys.config.get("activation_function", "gelu_new")), "gelu"),
    )


def _llama(keys: _Keys, kind: str) -> ModelShape:
    keys.must_be("hidden_act", "silu", "swish")
    for bias in ("attention_bias", "mlp_bias", "use_sliding_window"):
        keys.must_be(bias, False, None)
    heads, width = keys.whole("num_attention_heads"), keys.whole("hidden_size")
    if width % heads:
        keys.problems.append(f"{keys.where}: hidden_size={width} does not split into num_attention_heads={heads}")
    elif (each := keys.config.get("head_dim")) not in (None, width // heads):
        says = f"must be hidden_size / num_attention_heads = {width // heads} here"
        keys.problems.append(f"{keys.where}: head_dim={each!r:.40}: {says}")
    block_size = keys.whole("max_position_embeddings")
    window = keys.config.get("sliding_window", 4096) if kind == "mistral" else None
    window = 0 if window is None else keys.whole("sliding_window", 4096)
    return ModelShape(
        n_layer=keys.whole("num_hidden_layers"),
        n_head=heads,
        n_kv_head=keys.whole("num_key_value_heads", heads),
        n_embd=width,
        block_size=block_size,
        vocab_size=keys.whole("vocab_size"),
        ffn_dim=keys.whole("intermediate_size"),
        weight_tying=keys.switch("tie_word_embeddings", False),
        normalization="rmsnorm",
        norm_eps=keys.number("rms_norm_eps", 1e-6),
        position_encoding="rope",
        rope_theta=_theta(keys),
        ffn_type="swiglu",
        qk_norm=kind == "qwen3",
        sliding_window=window if window < block_size else 0,
    )


def _theta(keys: _Keys) -> float:
    """Of the plain rotation; transformers 5 keeps it one level deeper than 4 did."""
    found: dict[str, Any] = {}
    for name in ("rope_scaling", "rope_parameters"):
        nested = keys.config.get(name)
        found |= nested if isinstance(nested, dict) else {}
    if (kind := found.get("rope_type", found.get("type", "default"))) != "default":
        keys.problems.append(f"{keys.where}: rope_type={kind!r:.40}: only the plain rotation is known")
    written = found.get("rope_theta", keys.config.get("rope_theta"))
    return keys.positive("rope_theta", 10000.0 if written is None else written)


def config_of(shape: ModelShape, end_of_text: int | None) -> dict[str, Any]:
    """The config.json of a model of this shape.

    Raises:
        UserError: a part of it has no counterpart in any layout; names the part.
    """
    against_gpt2, against_llama = _not_gpt2(shape), _not_llama(shape)
    if not against_gpt2:
        config = _as_gpt2(shape)
    elif not against_llama:
        config = _as_llama(shape)
    else:
        gpt2 = len(against_gpt2) <= len(against_llama)
        layout, missing = ("GPT-2's", against_gpt2) if gpt2 else ("LLaMA's", against_llama)
        raise UserError(
            f"--format huggingface: {', '.join(missing)}: no counterpart in {layout} layout, the nearest there is; "
            f"the weights stay usable here: gptmill sample, eval, train --init_from"
        )
    return {
        **config,
        "architectures": [CLASSES[config["model_type"]]],
        "vocab_size": shape.vocab_size,
        "tie_word_embeddings": shape.weight_tying,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "initializer_range": 0.02,
        "dtype": "float32",
        "torch_dtype": "float32",
        "use_cache": True,
    }


def _not_gpt2(shape: ModelShape) -> list[str]:
    """What of a shape GPT-2's layout cannot say."""
    usual = {"norm_position": "pre", "position_encoding": "learned_absolute", "ffn_type": "standard", "qk_norm": False,
             "n_kv_head": shape.n_head, "sliding_window": 0}  # fmt: skip
    if shape.ffn_type == "standard" and shape.activation not in THEIRS:
        usual["activation"] = "gelu"
    named = [f"{key}={getattr(shape, key)}" for key, value in usual.items() if getattr(shape, key) != value]
    layernorm = shape.normalization in ("layernorm", "layernorm_nobias")
    return named if layernorm else [f"normalization={shape.normalization}", *named]


def _not_llama(shape: ModelShape) -> list[str]:
    usual = {"normalization": "rmsnorm", "norm_position": "pre", "position_encoding": "rope", "ffn_type": "swiglu",
             "bias": False}  # fmt: skip
    named = [f"{key}={getattr(shape, key)}" for key, value in usual.items() if getattr(shape, key) != value]
    if shape.qk_norm and shape.sliding_window:
        named.append(f"qk_norm=True with sliding_window={shape.sliding_window}")
    return named


def _as_gpt2(shape: ModelShape) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_type": "gpt2",
        "n_layer": shape.n_layer,
        "n_head": shape.n_head,
        "n_embd": shape.n_embd,
        "n_positions": shape.block_size,
        "n_ctx": shape.block_size,  # llama.cpp's converter looks for it
        "n_inner": shape.ffn_dim,
        "activation_function": THEIRS[shape.activation],
        "layer_norm_epsilon": shape.norm_eps,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), shape.dropout),
    }
    if not shape.bias or shape.normalization != "layernorm":
        config[OURS] = {"bias": shape.bias, "normalization": shape.normalization}
    return config


def _as_llama(shape: ModelShape) -> dict[str, Any]:
    kind = "qwen3" if shape.qk_norm else "mistral" if shape.sliding_window else "llama"
    return {
        "model_type": kind,
        "num_hidden_layers": shape.n_layer,
        "num_attention_heads": shape.n_head,
        "num_key_value_heads": shape.n_kv_head,
        "head_dim": shape.head_dim,
        "hidden_size": shape.n_embd,
        "intermediate_size": shape.ffn_dim,
        "max_position_embeddings": shape.block_size,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        **({"mlp_bias": False} if kind == "llama" else {}),
        **({"sliding_window": shape.sliding_window} if kind == "mistral" else {}),
    }
