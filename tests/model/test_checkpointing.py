from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gptmill.model.gpt import build
from gptmill.shapes import ModelShape
from tests.plan.allocator import measure

GPT2 = ModelShape(4, 4, 32, 32, 50, 128, bias=True)
LLAMA = replace(GPT2, normalization="rmsnorm", position_encoding="rope", ffn_type="swiglu", weight_tying=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kernel", ["manual", "sdpa"])  # keyed dropout, and one that draws from torch's generator
@pytest.mark.parametrize("shape", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_checkpointing_changes_no_bit_of_loss_or_gradients(shape: ModelShape, kernel: str, dtype: torch.dtype) -> None:
    shape = replace(shape, attention_backend=kernel, dropout=0.2)
    ids_BS = torch.randint(0, shape.vocab_size, (3, shape.block_size + 1), generator=torch.Generator().manual_seed(0))
    keys_B = torch.tensor([5, 6, 7], dtype=torch.int32)
    found = []
    for again in (False, True):
        model = build(replace(shape, activation_checkpointing=again), seed=0)
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(ids_BS[:, :-1], ids_BS[:, 1:], keys_B)
        loss.backward()
        found.append([loss.detach(), *(parameter.grad for parameter in model.parameters())])
    assert all(torch.equal(whole, again) for whole, again in zip(*found))


def test_checkpointing_holds_one_vector_a_token_and_layer() -> None:
    shape = replace(GPT2, n_embd=64, ffn_dim=256, attention_backend="manual", activation_checkpointing=True)
    layer = measure(shape, 4, "float32", True).held - measure(replace(shape, n_layer=3), 4, "float32", True).held
    assert layer == pytest.approx(4 * 4 * shape.block_size * shape.n_embd, abs=8192)  # and a generator's state
    assert (
        measure(shape, 4, "float32", True).peak
        < measure(replace(shape, activation_checkpointing=False), 4, "float32", True).peak
    )
