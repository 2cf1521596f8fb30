"""The memory model beside torch's own allocator, published figures, and what checkpoints were measured to take."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace
from typing import Any

import pytest
import torch

from gptmill.cli.memory_tables import naive
from gptmill.config.schema import Config
from gptmill.model import feedforwards, kernels, norms
from gptmill.model.gpt import GPT
from gptmill.model.loss import CHUNK_ELEMENTS
from gptmill.model.trace import trace_held
from gptmill.optim.pruning.methods import METHODS
from gptmill.optim.pruning.pruner import Pruner
from gptmill.plan.memory import head, memory_of
from gptmill.plan.memory.around import matrices
from gptmill.plan.memory.attention import ATTENTION
from gptmill.plan.memory.bill import micro_step, tables
from gptmill.plan.memory.network import play
from gptmill.plan.memory.parts import FEEDFORWARDS, NORMS
from gptmill.plan.memory.setting import Setting
from gptmill.plan.memory.tape import Tape
from gptmill.plan.plan import make_plan
from gptmill.plan.pruning import kept_bytes, n_prunable
from gptmill.plan.types import Machine, Plan, covers
from gptmill.shapes import ModelShape
from tests.model.shapes import every_combination, label
from tests.plan.allocator import measure
from tests.plan.facts import AMPERE, CPU, CPU_BF16, data

SIZE = {"n_layer": 3, "n_head": 4, "n_embd": 64, "block_size": 64, "vocab_size": 300, "ffn_dim": 192}
BATCH = 4
LLAMA = {"normalization": "rmsnorm", "position_encoding": "rope", "ffn_type": "swiglu", "ffn_dim": 2048}


def mixed(n: int) -> list[tuple[ModelShape, str, bool]]:
    """``n`` of all combinations of parts, each with a kernel, dropout, checkpointing, precision and accumulation."""
    dice, found = random.Random(6), []
    for shape in dice.sample(every_combination(), n):
        kernel = dice.choice(["manual", "sdpa"])
        settings = {
            "attention_backend": kernel,
            "dropout": dice.choice([0.0, 0.1]) if kernel == "manual" else 0.0,
            "activation_checkpointing": dice.choice([False, False, True]),
            "sliding_window": 16 if shape.sliding_window else 0,
        }
        found.append(
            (replace(shape, **SIZE, **settings), dice.choice(["float32", "bfloat16"]), dice.choice([True, False]))
        )
    return found


def played(
    shape: ModelShape,
    dtype: str,
    accumulated: bool,
    monkeypatch: pytest.MonkeyPatch,
    device: str = "cpu",
    compiled: bool = False,
) -> tuple[int, Tape]:
    """Bytes held after forward, and the tape at its end."""
    held: list[int] = []
    backward = Tape.backward
    monkeypatch.setattr(Tape, "backward", lambda tape: (held.append(tape.live), backward(tape)))
    tape = play(Setting(shape, BATCH, 4 if dtype == "float32" else 2, device, compiled), accumulated)
    monkeypatch.undo()
    return held[0], tape


@pytest.mark.parametrize(
    ("shape", "dtype", "accumulated"),
    mixed(14),
    ids=lambda value: label(value) if isinstance(value, ModelShape) else str(value),
)
def test_what_backward_needs_and_the_most_there_is_are_what_torchs_allocator_says(
    shape: ModelShape, dtype: str, accumulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = measure(shape, BATCH, dtype, accumulated)
    held, tape = played(shape, dtype, accumulated, monkeypatch)
    assert held == pytest.approx(measured.held, rel=0.004, abs=4096)
    # oneDNN's matmuls of bfloat16 work in up to half a megabyte of their own, which does not grow with the model
    scratch = 0 if dtype == "float32" else 400_000
    assert measured.peak * 0.995 - scratch - 8192 <= tape.peak <= measured.peak * 1.005 + 8192
    assert tape.live == pytest.approx(measured.left, rel=0.004, abs=4096)


def test_a_vocabulary_in_chunks_takes_what_the_allocator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = []
    for dtype, chunked in itertools.product(("float32", "bfloat16"), (True, False)):
        shape = ModelShape(1, 2, 64, 128, 50304, 128, chunked_loss=chunked)
        measured = measure(shape, BATCH, dtype, accumulated=True)  # 512 rows: a chunk of 333 and one of 179
        tape = played(shape, dtype, True, monkeypatch)[1]
        assert tape.peak == pytest.approx(measured.peak, rel=0.01)
        peaks.append(measured.peak)
    assert peaks[0] < peaks[1] and peaks[2] < peaks[3]


def test_names_and_sizes_are_those_of_the_model() -> None:
    assert set(NORMS) <= set(norms.NORMS) and set(ATTENTION) <= set(kernels.ATTENTION)
    assert set(FEEDFORWARDS) <= set(feedforwards.FEEDFORWARDS)
    assert head.CHUNK_ELEMENTS == CHUNK_ELEMENTS
    for shape in (ModelShape(n_layer=2), ModelShape(n_layer=2, position_encoding="rope", attention_backend="manual")):
        with torch.device("meta"):
            model = GPT(shape)
        assert sorted(matrices(Setting(shape, 1, 4, "cpu"))) == sorted(
            p.numel() for p in model.parameters() if p.dim() == 2
        )
        assert tables(shape) == sum(buffer.numel() for buffer in model.buffers())


def plan_for(device: Machine = AMPERE, gpus: int = 1, **settings: Any) -> Plan:
    return make_plan(Config(**settings), data=data(), machine=device, world_size=gpus)


def test_the_parts_add_up_to_the_peak_and_it_grows_with_the_batch() -> None:
    for device in (AMPERE, CPU, CPU_BF16):
        memory = memory_of(plan_for(device))
        parts = (memory.weights, memory.gradients, memory.optimizer, memory.activations, memory.logits, memory.overhead)
        assert min(parts) >= 0 and sum(parts) == memory.peak
        assert memory.weights >= 4 * 124_373_760 and memory.optimizer == 8 * 124_373_760
        assert memory_of(plan_for(device, batch_size=13)).peak > memory.peak


@pytest.mark.parametrize("gpus", [1, 4, 64])
def test_what_devices_share_is_what_zero_says(gpus: int) -> None:
    """Rajbhandari et al. 2020, figure 1: (2 + 2) Psi + K Psi / N and (2 + 2 + K) Psi / N; here 4 + 4 and K = 8."""
    plan = plan_for(gpus=gpus, preset="gpt2", batch_size=1, gradient_accumulation_steps=2 * gpus)
    for strategy, states in (("ddp", 16.0), ("zero1", 8 + 8 / gpus), ("fsdp", 16 / gpus)):
        memory = memory_of(replace(plan, strategy=strategy))
        held = memory.weights - 4 * tables(plan.shape) + memory.optimizer
        old_gradients = 4 * plan.params / (gpus if strategy == "fsdp" else 1)
        assert (held + old_gradients) / plan.params == pytest.approx(states, rel=1e-6), strategy
        assert memory.gradients >= old_gradients


def test_the_documents_own_formula_gives_its_table_and_the_real_model_does_not() -> None:
    """The wikitext-training document: 11.0, 18.6 and 33.7 GB; with fp16 0.5 and with checkpointing 0.4 of them."""
    rows = {batch: naive(batch, 124e6, 12, 12, 1024, 768) for batch in (8, 16, 32)}
    assert [round(part, 2) for part in rows[8]] == [0.5, 0.5, 0.99, 7.55, 1.5]
    assert [round(row.total, 2) for row in rows.values()] == [11.03, 18.58, 33.68]
    assert [round(0.4 * row.total, 2) for row in rows.values()] == [4.41, 7.43, 13.47]
    assert round(0.5 * rows[16].total, 1) == 9.3
    # a layer of the same model, at a quarter of its width and context, by torch's own allocator
    shape = ModelShape(3, 12, 192, 256, 300, 768, bias=True, position_encoding="sinusoidal", activation="relu")
    formula = 4 * (2 * 12 * 256**2 + 9 * 2 * 256 * 192)
    kernels = {
        "sdpa": replace(shape, attention_backend="sdpa"),
        "manual": replace(shape, attention_backend="manual", dropout=0.1),
    }
    layer = {
        name: measure(kernel, 2, "float32", True).held - measure(replace(kernel, n_layer=2), 2, "float32", True).held
        for name, kernel in kernels.items()
    }
    assert layer["sdpa"] < 0.75 * formula and layer["manual"] > 2 * formula


def test_weights_gradients_and_moments_do_not_shrink_with_the_precision_of_matmuls() -> None:
    exact, rounded = (plan_for(CPU, dtype=dtype, batch_size=1) for dtype in ("float32", "bfloat16"))
    assert memory_of(exact).optimizer == memory_of(rounded).optimizer
    assert memory_of(rounded).peak > 0.6 * memory_of(exact).peak


@pytest.mark.parametrize(
    ("settings", "compiled", "vectors", "matrices"),
    [
        ({}, False, 16, 0),
        ({}, True, 16, 0),
        ({"attention_backend": "manual"}, False, 16, 1),
        ({"dropout": 0.1}, False, 18, 0),
        ({"attention_backend": "manual", "dropout": 0.1}, False, 18, 3),
        ({"activation_checkpointing": True}, False, 1, 0),
        (LLAMA, False, 21.7, 0),
        ({**LLAMA, "attention_backend": "manual"}, False, 18.7, 1),
        (LLAMA, True, 21.7 - 2.7, 0),
    ],
)
def test_what_a_layer_holds_is_what_the_guide_says(
    settings: dict[str, Any], compiled: bool, vectors: float, matrices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = replace(ModelShape(vocab_size=300, block_size=256), **settings)
    held = [
        played(replace(shape, n_layer=n), "float32", True, monkeypatch, device="cuda", compiled=compiled)[0]
        for n in (3, 2)
    ]
    stated = 4 * BATCH * 256 * (vectors * 768 + matrices * 12 * 256)
    assert held[0] - held[1] == pytest.approx(stated, rel=0.004)


def test_a_deep_model_is_told_by_its_last_layers_and_in_no_time() -> None:
    shape = ModelShape(40, 4, 64, 64, 300, 128)
    for s in (Setting(shape, 2, 4, "cuda"), Setting(replace(shape, activation_checkpointing=True), 2, 2, "cuda")):
        for accumulated in (False, True):
            assert micro_step(s, accumulated)[0] == play(s, accumulated).peak
    began = time.process_time()
    memory_of(plan_for(CPU, n_layer=10_000))
    assert time.process_time() - began < 2


def test_saving_and_loading_take_what_was_measured() -> None:
    """In a process of its own, 17.6M and 61.7M parameters: 24.0 bytes each on top to save, 32.0 to load."""
    plan = plan_for(CPU, batch_size=1, eval_iters=1)
    assert memory_of(plan).host >= 36 * plan.params
    assert memory_of(replace(plan, on_spike="rollback")).host - memory_of(plan).host == 24 * plan.params


def test_a_part_without_a_formula_is_traced() -> None:
    """The trace of a shape that has a formula, beside that formula."""
    plan = plan_for(CPU_BF16, block_size=128, batch_size=2, eval_iters=1)
    assert plan.shape.attention_backend == "manual"
    unknown = replace(plan, shape=replace(plan.shape, normalization="dyt"))
    memory = memory_of(unknown, trace=lambda shape: trace_held(replace(shape, normalization="layernorm")))
    assert memory.peak == pytest.approx(memory_of(plan).peak, rel=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"weight_tying": False, "ffn_type": "swiglu", "qk_norm": True},
        {"prune_tied_head": True},
        {"freeze": "blocks.3"},
    ],
)
def test_what_pruning_keeps_is_in_the_bill(method: str, more: dict[str, Any]) -> None:
    """On the meta device as in training: a mask of a byte a weight, and what the method keeps besides."""
    dense = plan_for(preset="gpt2", batch_size=1, gradient_accumulation_steps=1, **more)
    plan = plan_for(preset="gpt2", batch_size=1, gradient_accumulation_steps=1, pruning_method=method, **more)
    with torch.device("meta"):
        model = GPT(plan.shape)
        for name, weight in model.named_parameters():
            weight.requires_grad_(not covers(plan.freeze, name))
        pruner = Pruner(model, torch.optim.SGD(model.parameters()), plan)
        pruner.begin()
    held = sum(tensor.nbytes for tensor in pruner.tensors.values())
    assert pruner.n_prunable == n_prunable(plan) and held == kept_bytes(plan)
    assert memory_of(plan).optimizer - memory_of(dense).optimizer == held
    assert memory_of(plan).peak - memory_of(dense).peak == held and kept_bytes(dense) == 0
