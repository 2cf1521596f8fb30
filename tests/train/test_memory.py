"""Running out of memory costs a sentence: the same steps go on in smaller micro-batches."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gptmill.errors import GptmillError
from gptmill.events import Event, Notice, RunDone, StepDone
from gptmill.plan.types import Plan
from gptmill.train.memory import fitting
from tests.cli.run import SMALL, prepare_tiny
from tests.train.small import Corpus, events, new_state, small_plan


class Card:
    """A device that holds activations of so many sequences; it fails in the middle of the forward pass."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def __call__(self, module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def trained(capacity: int, **keys: Any) -> tuple[list[Event], torch.nn.Module, list[int]]:
    plan = small_plan(dropout=0.2, attention_backend="manual", effective_batch_size=12, **keys)
    state, corpus = new_state(plan), Corpus(plan)
    state.model.blocks[1].register_forward_pre_hook(Card(capacity))
    return list(events(plan, state, corpus)), state.model, corpus.taken


@pytest.mark.parametrize("starts_with_evaluation", [True, False])
def test_the_run_goes_on_with_half_and_ends_with_the_same_weights(starts_with_evaluation: bool) -> None:
    keys = {} if starts_with_evaluation else {"eval_interval": 100}
    told, model, taken = trained(3, batch_size=12, **keys)
    said = [event.says for event in told if isinstance(event, Notice)]
    assert [re.findall(r"\d+", words)[:3] for words in said] == [["12", "6", "2"], ["6", "3", "4"]]
    _, undisturbed, order = trained(12, batch_size=12, **keys)
    assert list(dict.fromkeys(taken)) == order
    for mine, expected in zip(model.parameters(), undisturbed.parameters()):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-5)
    assert isinstance(told[-1], RunDone) and sum(isinstance(event, StepDone) for event in told) == 12


def test_a_single_sequence_that_does_not_fit_ends_the_run() -> None:
    with pytest.raises(GptmillError, match="out of memory with batch_size=1: lower block_size"):
        trained(0, batch_size=2)


def test_another_error_is_not_taken_for_it() -> None:
    plan = small_plan()
    state = new_state(plan)

    def fails(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    state.model.blocks[0].register_forward_pre_hook(fails)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(events(plan, state))


def test_a_real_allocation_that_fails_is_survived(tmp_path: Path) -> None:
    """The system refuses memory beyond a limit, in a process of its own."""
    prepare_tiny(tmp_path)
    limit = 3 * 2**28  # bytes of data: half of these micro-batches fit, the whole ones do not
    words = [*SMALL, "--batch_size=800", "--block_size=256", "--max_iters=1", "--eval_interval=5", "--eval_iters=1"]
    words += ["--dtype=float32"]  # without oneDNN, which fails in its own way: the next test
    done = subprocess.run(
        [sys.executable, "-m", "gptmill", "train", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=200,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "out of memory with batch_size=800: going on with 400, 2 micro-batches a step" in done.stderr


def test_onednn_that_failed_once_is_not_asked_again() -> None:
    def takes(plan: Plan) -> bool:
        if torch.backends.mkldnn.enabled:
            raise RuntimeError("could not create a primitive")
        return True

    before = torch.backends.mkldnn.set_flags()
    try:
        plan, done, says = fitting(small_plan(batch_size=8), takes)
    finally:
        torch.backends.mkldnn.set_flags(*before)
    assert (plan.batch_size, done, len(says)) == (4, True, 1)
