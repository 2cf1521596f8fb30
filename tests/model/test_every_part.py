"""Claims that hold for every combination of registered parts; the judges are PyTorch's own counters and bit-equality."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load, save
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gptmill.model.gpt import build
from gptmill.model.kernels import ATTENTION
from gptmill.model.trace import trace
from gptmill.plan.flops import counts, has_closed_form
from gptmill.shapes import ModelShape
from tests.model.shapes import SMALL, every_combination, label

LEAST = 384  # combinations that have to be tried


def test_enough_combinations_are_tried_and_every_two_parts_meet(counted: Callable[[int, str], None]) -> None:
    shapes = every_combination()
    counted(len(shapes), "combinations of parts")
    assert len(set(shapes)) == len(shapes) >= LEAST
    varied = {key: {getattr(shape, key) for shape in shapes} for key in asdict(SMALL)}
    keys = [key for key, values in varied.items() if len(values) > 1]
    assert set(keys) == {
        *("normalization", "norm_position", "position_encoding", "ffn_type", "ffn_dim", "activation", "bias"),
        *("weight_tying", "n_kv_head", "qk_norm", "sliding_window"),
    }
    for one, other in itertools.combinations(keys, 2):
        if {one, other} <= {"ffn_type", "ffn_dim", "activation"}:  # only the standard feed-forward has an activation
            continue
        met = {(getattr(shape, one), getattr(shape, other)) for shape in shapes}
        assert len(met) == len(varied[one]) * len(varied[other]), (one, other)


combinations = pytest.mark.parametrize("shape", every_combination(), ids=label)


def tokens(shape: ModelShape, batch: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(shape.vocab_size, (batch, shape.block_size + 1), generator=generator)


@combinations
def test_closed_forms_equal_pytorchs_own_counts(shape: ModelShape) -> None:
    model, ids_BS = build(shape, seed=1), tokens(shape)
    size = counts(shape) if has_closed_form(shape) else trace(shape)
    assert size.params == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(ids_BS[:, :-1], ids_BS[:, 1:]).backward()
    assert size.flops_per_token * 2 * shape.block_size == counter.get_total_flops()


@combinations
@pytest.mark.parametrize("attention", ATTENTION)
def test_no_token_sees_the_future(shape: ModelShape, attention: str) -> None:
    model = build(replace(shape, attention_backend=attention), seed=1).eval()
    ids_BT = tokens(shape)[:, :-1]
    with torch.no_grad():
        before_BTV = model(ids_BT)
        for t in (1, shape.block_size // 2, shape.block_size - 1):
            changed_BT = ids_BT.clone()
            changed_BT[:, t] = (changed_BT[:, t] + 1) % shape.vocab_size
            after_BTV = model(changed_BT)
            assert torch.equal(before_BTV[:, :t], after_BTV[:, :t])
            assert not torch.equal(before_BTV[:, t], after_BTV[:, t])


@combinations
def test_manual_attention_equals_sdpa_in_float64(shape: ModelShape) -> None:
    models = [build(replace(shape, attention_backend=name), seed=1).double() for name in ("sdpa", "manual")]
    ids_BS = tokens(shape)
    losses = [model(ids_BS[:, :-1], ids_BS[:, 1:]) for model in models]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=1e-12)
    for (name, sdpa), manual in zip(models[0].named_parameters(), models[1].parameters()):
        torch.testing.assert_close(sdpa.grad, manual.grad, rtol=1e-9, atol=1e-11, msg=name)


@combinations
def test_weights_survive_safetensors(shape: ModelShape) -> None:
    model, other = build(shape, seed=1).eval(), build(shape, seed=2).eval()
    ids_BT = tokens(shape)[:, :-1]
    assert not torch.equal(model(ids_BT), other(ids_BT))
    stored = load(save({name: p.detach() for name, p in model.named_parameters()}))
    with torch.no_grad():
        for name, p in other.named_parameters():
            p.copy_(stored[name])
    assert torch.equal(model(ids_BT), other(ids_BT))


@combinations
def test_bfloat16_autocast_trains_with_finite_gradients(shape: ModelShape) -> None:
    model = build(shape, seed=1)
    ids_BS = tokens(shape)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(ids_BS[:, :-1], ids_BS[:, 1:])
    loss.backward()
    exact = model(ids_BS[:, :-1], ids_BS[:, 1:])
    assert abs(loss.item() - exact.item()) < 0.02
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
