"""Small models of Hugging Face's own code with random weights, large enough that a wrong order or epsilon shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

VOCABULARY, CONTEXT = 130, 48
# The four published shapes with their layers and heads scaled down: heads of 64 / 8 = 8.
GPT2 = {
    "gpt2": {"n_layer": 2, "n_head": 3, "n_embd": 24},
    "gpt2-medium": {"n_layer": 3, "n_head": 4, "n_embd": 32},
    "gpt2-large": {"n_layer": 4, "n_head": 5, "n_embd": 40},
    "gpt2-xl": {"n_layer": 5, "n_head": 5, "n_embd": 40},
}
LLAMA: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500.0,
    "attn_implementation": "eager",
}
LLAMAS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-untied": ("Llama", {"tie_word_embeddings": False}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True}),
    "mistral": ("Mistral", {"tie_word_embeddings": False, "sliding_window": 7}),
    "qwen3": ("Qwen3", {"tie_word_embeddings": True}),
}
ALL = [*GPT2, *LLAMAS]


def model(name: str, **changed: Any) -> Any:
    """The model of that name, in evaluation mode."""
    torch.manual_seed(0)
    if name in GPT2:
        config = transformers.GPT2Config(**{"vocab_size": VOCABULARY, "n_positions": CONTEXT, **GPT2[name], **changed})
        found = transformers.GPT2LMHeadModel(config)
    else:
        kind, keys = LLAMAS[name]
        config = getattr(transformers, f"{kind}Config")(**LLAMA, **keys, **changed)
        found = getattr(transformers, f"{kind}ForCausalLM")(config)
    for p in found.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return found.eval()


def saved(name: str, folder: Path, **changed: Any) -> Any:
    """The same, and its folder as save_pretrained writes it."""
    found = model(name, **changed)
    found.save_pretrained(folder)
    return found


def some_ids(rows: int = 2) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, CONTEXT), generator=torch.Generator().manual_seed(1))


def logits(found: Any, ids_BT: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out = found(ids_BT)
    return out if isinstance(out, torch.Tensor) else out.logits
