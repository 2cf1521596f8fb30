"""LLaMA parts, grouped queries, query-key norm and sliding window compute what Hugging Face's models compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from gptmill.interop.huggingface import llama_weights
from gptmill.model.gpt import build
from gptmill.shapes import ModelShape

THEIRS: dict[str, Any] = {
    "vocab_size": 130,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "max_position_embeddings": 48,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500.0,
    "tie_word_embeddings": False,
    "attn_implementation": "eager",
}
OURS: dict[str, Any] = {
    "n_layer": 3,
    "n_head": 4,
    "n_kv_head": 2,
    "n_embd": 64,
    "block_size": 48,
    "vocab_size": 130,
    "ffn_dim": 96,
    "normalization": "rmsnorm",
    "position_encoding": "rope",
    "rope_theta": 500.0,
    "ffn_type": "swiglu",
    "weight_tying": False,
}
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {}, {}),
    "multi-query": (
        transformers.LlamaConfig, transformers.LlamaForCausalLM, {"num_key_value_heads": 1}, {"n_kv_head": 1},
    ),
    "mistral": (
        transformers.MistralConfig, transformers.MistralForCausalLM, {"sliding_window": 7}, {"sliding_window": 7},
    ),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, {}, {"qk_norm": True}),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["sdpa", "manual"])
def test_logits_equal_hugging_face(family: str, attention: str) -> None:
    config, model, their_keys, our_keys = FAMILIES[family]
    torch.manual_seed(0)
    theirs = model(config(**{**THEIRS, **their_keys})).double().eval()
    for p in theirs.parameters():  # large weights, so that a wrong angle, window or group shows
        torch.nn.init.normal_(p, std=0.3)
    ours = build(ModelShape(**{**OURS, **our_keys}, attention_backend=attention), seed=1).double().eval()
    ours.load_state_dict(dict(llama_weights(theirs.state_dict(), head_dim=16)), strict=True)
    ids_BT = torch.randint(130, (2, 48))
    with torch.no_grad():
        difference = (ours(ids_BT) - theirs(ids_BT).logits).abs().max()
    assert difference < 1e-5  # theirs computes angles and norms in float32 whatever the model is in
