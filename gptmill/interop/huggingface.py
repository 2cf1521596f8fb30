"""Weights between Hugging Face's GPT-2 layout and ours. No transformers import: a layout is names and transposes."""

from __future__ import annotations

import re

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
