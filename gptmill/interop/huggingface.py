"""Weights from Hugging Face's GPT-2 and LLaMA layouts to ours. No transformers import: a layout is names and orders."""

from __future__ import annotations

import re

import torch
from torch import Tensor

# theirs -> ours, inside one block; their Conv1D keeps matrices transposed
BLOCK_NAMES = {
    "ln_1": "norm_1",
    "ln_2": "norm_2",
    "attn.c_attn": "attn.c_attn",
    "attn.c_proj": "attn.c_proj",
    "mlp.c_fc": "mlp.c_fc",
    "mlp.c_proj": "mlp.c_proj",
}
OUTER_NAMES = {
    "transformer.wte.weight": "wte.weight",
    "transformer.wpe.weight": "position.wpe.weight",
    "transformer.ln_f.weight": "norm_f.weight",
    "transformer.ln_f.bias": "norm_f.bias",
    "lm_head.weight": "lm_head.weight",
}


def gpt2_weights(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename and transpose the state dict of a ``GPT2LMHeadModel`` for ``GPT.load_state_dict``."""
    ours = {}
    for name, weight in theirs.items():
        block = re.fullmatch(r"transformer\.h\.(\d+)\.(.+)\.(weight|bias)", name)
        if name in OUTER_NAMES:
            ours[OUTER_NAMES[name]] = weight
        elif block and block[2] in BLOCK_NAMES:
            matrix = weight.dim() == 2
            ours[f"blocks.{block[1]}.{BLOCK_NAMES[block[2]]}.{block[3]}"] = weight.T if matrix else weight
    return ours


LLAMA_NAMES = {
    "model.embed_tokens.weight": "wte.weight",
    "model.norm.weight": "norm_f.weight",
    "lm_head.weight": "lm_head.weight",
}
LLAMA_BLOCK_NAMES = {
    "input_layernorm": "norm_1",
    "post_attention_layernorm": "norm_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.down_proj": "mlp.c_proj",
}


def llama_weights(theirs: dict[str, Tensor], head_dim: int) -> dict[str, Tensor]:
    """Rename and join the state dict of a ``LlamaForCausalLM`` (Mistral, Qwen3) for ``GPT.load_state_dict``.

    Their matrices for queries, keys and values are one matrix here, as are gate and up. They rotate feature i with
    i + D/2, we rotate neighbours, so the rows of each query and key head are reordered.
    """
    ours = {new: theirs[old] for old, new in LLAMA_NAMES.items() if old in theirs}
    layers = {int(found[1]) for name in theirs if (found := re.match(r"model\.layers\.(\d+)\.", name))}
    for layer in sorted(layers):
        old, new = f"model.layers.{layer}", f"blocks.{layer}"
        for name, target in LLAMA_BLOCK_NAMES.items():
            ours[f"{new}.{target}.weight"] = theirs[f"{old}.{name}.weight"]
        q, k, v = (theirs[f"{old}.self_attn.{name}_proj.weight"] for name in "qkv")
        ours[f"{new}.attn.c_attn.weight"] = torch.cat((_interleaved(q, head_dim), _interleaved(k, head_dim), v))
        gate, up = (theirs[f"{old}.mlp.{name}_proj.weight"] for name in ("gate", "up"))
        ours[f"{new}.mlp.c_fc.weight"] = torch.cat((gate, up))
        for name in ("q_norm", "k_norm"):
            gain = theirs.get(f"{old}.self_attn.{name}.weight")
            if gain is not None:
                ours[f"{new}.attn.{name}.weight"] = _interleaved(gain, head_dim)
    return ours


def _interleaved(rows: Tensor, head_dim: int) -> Tensor:
    """Reorder each head's rows from halves (0, 1, ... | D/2, D/2 + 1, ...) to pairs (0, D/2, 1, D/2 + 1, ...)."""
    heads = rows.view(-1, 2, head_dim // 2, *rows.shape[1:])
    return heads.transpose(1, 2).reshape(rows.shape)
