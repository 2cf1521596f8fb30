"""Weights between Hugging Face's GPT-2 and LLaMA layouts and ours. No transformers import: a layout is names and orders.

Each way is a generator of (name, tensor): one tensor at a time is read, turned and handed on, however large the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gptmill.errors import UserError
from gptmill.shapes import ModelShape

Named = Iterator[tuple[str, Tensor]]

# theirs -> ours; inside a block their Conv1D keeps matrices transposed
GPT2_BLOCK = {
    "ln_1": "norm_1",
    "ln_2": "norm_2",
    "attn.c_attn": "attn.c_attn",
    "attn.c_proj": "attn.c_proj",
    "mlp.c_fc": "mlp.c_fc",
    "mlp.c_proj": "mlp.c_proj",
}
GPT2_OUTER = {
    "wte.weight": "wte.weight",
    "wpe.weight": "position.wpe.weight",
    "ln_f.weight": "norm_f.weight",
    "ln_f.bias": "norm_f.bias",
    "lm_head.weight": "lm_head.weight",
}
# masks and tables that old versions saved as though they were weights
NO_WEIGHTS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")


def gpt2_weights(theirs: Mapping[str, Tensor]) -> Named:
    """A ``GPT2LMHeadModel``'s weights under our names; the published files leave out the ``transformer.`` before theirs.

    Raises:
        UserError: a tensor that GPT-2 does not have.
    """
    for name in theirs:
        short = name.removeprefix("transformer.")
        block = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", short)
        if name.endswith(NO_WEIGHTS):
            continue
        if short in GPT2_OUTER:
            yield GPT2_OUTER[short], theirs[name]
        elif block and block[2] in GPT2_BLOCK:
            weight = theirs[name]
            yield f"blocks.{block[1]}.{GPT2_BLOCK[block[2]]}.{block[3]}", weight.T if weight.dim() == 2 else weight
        else:
            raise UserError(f"{name}: a tensor that GPT-2 does not have")


def as_gpt2(ours: Mapping[str, Tensor], shape: ModelShape) -> Named:
    """The other way; where our model has no bias theirs has one of zeros, which computes the same."""
    for theirs, name in GPT2_OUTER.items():
        full = theirs if theirs.startswith("lm_head") else f"transformer.{theirs}"
        if name in ours:
            yield full, ours[name]
        elif theirs == "ln_f.bias":
            yield full, torch.zeros(shape.n_embd)
    for layer in range(shape.n_layer):
        for theirs, name in GPT2_BLOCK.items():
            weight = ours[f"blocks.{layer}.{name}.weight"]
            bias = ours.get(f"blocks.{layer}.{name}.bias")
            yield f"transformer.h.{layer}.{theirs}.weight", weight.T if weight.dim() == 2 else weight
            yield f"transformer.h.{layer}.{theirs}.bias", torch.zeros(len(weight)) if bias is None else bias


LLAMA_OUTER = {
    "model.embed_tokens.weight": "wte.weight",
    "model.norm.weight": "norm_f.weight",
    "lm_head.weight": "lm_head.weight",
}
LLAMA_BLOCK = {
    "input_layernorm": "norm_1",
    "post_attention_layernorm": "norm_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.down_proj": "mlp.c_proj",
}
QUERY_KEY_NORMS = ("q_norm", "k_norm")
JOINED = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")


def llama_weights(theirs: Mapping[str, Tensor], head_dim: int) -> Named:
    """A ``LlamaForCausalLM``'s weights (Mistral's, Qwen3's) under our names.

    Their matrices for queries, keys and values are one matrix here, as are gate and up. They rotate feature i with
    i + D/2, we rotate neighbours, so the rows of each query and key head are reordered.

    Raises:
        UserError: a tensor that LLaMA does not have, or one that it must have is missing.
    """
    layers: set[int] = set()
    for name in theirs:
        block = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
        if block and block[2] in (*LLAMA_BLOCK, *JOINED, *(f"self_attn.{norm}" for norm in QUERY_KEY_NORMS)):
            layers.add(int(block[1]))
        elif name in LLAMA_OUTER:
            yield LLAMA_OUTER[name], theirs[name]
        elif not name.endswith(NO_WEIGHTS):
            raise UserError(f"{name}: a tensor that LLaMA does not have")
    for layer in sorted(layers):
        old, new = f"model.layers.{layer}", f"blocks.{layer}"
        if missing := [name for name in (*LLAMA_BLOCK, *JOINED) if f"{old}.{name}.weight" not in theirs]:
            raise UserError(f"{old}.{missing[0]}.weight is missing")
        for name, target in LLAMA_BLOCK.items():
            yield f"{new}.{target}.weight", theirs[f"{old}.{name}.weight"]
        q, k, v = (theirs[f"{old}.self_attn.{name}_proj.weight"] for name in "qkv")
        yield f"{new}.attn.c_attn.weight", torch.cat((_pairs(q, head_dim), _pairs(k, head_dim), v))
        del q, k, v
        gate, up = (theirs[f"{old}.mlp.{name}_proj.weight"] for name in ("gate", "up"))
        yield f"{new}.mlp.c_fc.weight", torch.cat((gate, up))
        del gate, up
        for name in QUERY_KEY_NORMS:
            if (gain := f"{old}.self_attn.{name}.weight") in theirs:
                yield f"{new}.attn.{name}.weight", _pairs(theirs[gain], head_dim)


def as_llama(ours: Mapping[str, Tensor], shape: ModelShape) -> Named:
    """The other way."""
    for theirs, name in LLAMA_OUTER.items():
        if name in ours:
            yield theirs, ours[name]
    for layer in range(shape.n_layer):
        old, new = f"blocks.{layer}", f"model.layers.{layer}"
        for name, target in LLAMA_BLOCK.items():
            yield f"{new}.{name}.weight", ours[f"{old}.{target}.weight"]
        widths = (shape.n_embd, shape.kv_dim, shape.kv_dim)
        q, k, v = ours[f"{old}.attn.c_attn.weight"].split(widths)
        parts = (_halves(q, shape.head_dim), _halves(k, shape.head_dim), v, *ours[f"{old}.mlp.c_fc.weight"].chunk(2))
        for name, part in zip(JOINED, parts):
            yield f"{new}.{name}.weight", part
        for name in QUERY_KEY_NORMS:
            if (gain := f"{old}.attn.{name}.weight") in ours:
                yield f"{new}.self_attn.{name}.weight", _halves(ours[gain], shape.head_dim)


def _pairs(rows: Tensor, head_dim: int) -> Tensor:
    """Reorder each head's rows from halves (0, 1, ... | D/2, D/2 + 1, ...) to pairs (0, D/2, 1, D/2 + 1, ...)."""
    heads = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:])
    return heads.transpose(1, 2).reshape(rows.shape)


def _halves(rows: Tensor, head_dim: int) -> Tensor:
    """Undo ``_pairs``."""
    heads = rows.reshape(-1, head_dim // 2, 2, *rows.shape[1:])
    return heads.transpose(1, 2).reshape(rows.shape)
