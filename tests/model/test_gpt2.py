"""Our GPT-2 is GPT-2: Hugging Face's implementation, given the same random weights, gives the same logits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import transformers

from gptmill.interop.huggingface import gpt2_weights
from gptmill.model.gpt import build
from gptmill.shapes import ModelShape
from tests.model.shapes import SMALL


@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("attention", ["sdpa", "manual"])
def test_logits_equal_hugging_face(dtype: torch.dtype, bound: float, attention: str) -> None:
    config = transformers.GPT2Config(vocab_size=130, n_positions=48, n_embd=64, n_layer=3, n_head=4, resid_pdrop=0.0)
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(config).to(dtype).eval()
    for p in theirs.parameters():  # large weights, so that a wrong activation or epsilon shows
        torch.nn.init.normal_(p, std=0.3)
    shape = ModelShape(
        n_layer=3,
        n_head=4,
        n_embd=64,
        block_size=48,
        vocab_size=130,
        ffn_dim=256,
        bias=True,
        activation="gelu_tanh",
        attention_backend=attention,
    )
    ours = build(shape, seed=1).to(dtype).eval()
    ours.load_state_dict(dict(gpt2_weights(theirs.state_dict())), strict=True)
    ids_BT = torch.randint(130, (2, 48))
    with torch.no_grad():
        assert (ours(ids_BT) - theirs(ids_BT).logits).abs().max() < bound


def test_initial_weights_have_gpt2s_spread() -> None:
    model = build(replace(SMALL, n_layer=4, n_embd=96, ffn_dim=384, bias=True), seed=5)
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            assert not p.any()
        elif p.dim() == 1:
            assert (p == 1).all()
        else:
            std = 0.02 / math.sqrt(8) if name.endswith("c_proj.weight") else 0.02
            assert abs(p.std().item() / std - 1) < 5 / math.sqrt(2 * p.numel()), name  # 5 standard errors


def test_building_a_model_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = build(SMALL, seed=1), build(SMALL, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
