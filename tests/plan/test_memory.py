"""The memory model beside torch's own allocator, published figures, and what checkpoints were measured to take."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gptmill.plan.memory.network import play
from gptmill.plan.memory.setting import Setting
from gptmill.plan.memory.tape import Tape
from gptmill.shapes import ModelShape
from tests.model.shapes import every_combination, label
from tests.plan.allocator import measure

SIZE = {"n_layer": 3, "n_head": 4, "n_embd": 64, "block_size": 64, "vocab_size": 300, "ffn_dim": 192}
BATCH = 4


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


def played(shape: ModelShape, dtype: str, accumulated: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Tape]:
    """Bytes held after forward, and the tape at its end."""
    held: list[int] = []
    backward = Tape.backward
    monkeypatch.setattr(Tape, "backward", lambda tape: (held.append(tape.live), backward(tape)))
    tape = play(Setting(shape, BATCH, 4 if dtype == "float32" else 2, "cpu"), accumulated)
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
