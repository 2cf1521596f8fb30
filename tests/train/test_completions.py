"""Loss on completions: Hugging Face's with labels of -100, however the step is split, and a run that can be resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gptmill.config.schema import Config
from gptmill.interop.huggingface import gpt2_weights
from gptmill.interop.tensors import fill
from gptmill.model.gpt import build
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.plan import make_plan
from gptmill.plan.types import Plan
from gptmill.train.evaluate import mean_losses
from gptmill.train.state import TrainState
from gptmill.train.step import train_step
from gptmill.train.watch import Watch
from tests.cli.run import SMALL, gptmill
from tests.interop import theirs
from tests.train import small
from tests.train.small import Never, new_state

T, SEQUENCES = 16, 12


class Examples:
    """Random windows: long prompts, a few with no completion at all, one that is all completion."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.ids_NS = generator.integers(theirs.VOCABULARY, size=(SEQUENCES, T + 1))
        self.counts_NS = generator.random((SEQUENCES, T + 1)) < generator.random((SEQUENCES, 1)) ** 2
        self.counts_NS[3:6], self.counts_NS[8] = False, True

    def take(self, first: int, count: int) -> np.ndarray:
        return np.where(self.counts_NS, self.ids_NS, ~self.ids_NS)[first : first + count]


class Rank(Single):
    """One of several processes, alone: what it would tell the others stays with it."""

    def clip(self, model: torch.nn.Module, grad_clip: float) -> Tensor:
        self.gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        return super().clip(model, grad_clip)


def reference(examples: Examples, plan: Plan) -> tuple[Any, float, dict[str, Tensor]]:
    """transformers' model, its loss with labels of -100 over all sequences at once, its gradients under our names."""
    model = theirs.model("gpt2")
    labels_BT = torch.from_numpy(np.where(examples.counts_NS, examples.ids_NS, -100)[:, 1:].copy())
    out = model(torch.from_numpy(examples.ids_NS[:, :-1]), labels=labels_BT, shift_labels=labels_BT)
    out.loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return (
        model,
        out.loss.item(),
        dict(gpt2_weights(gradients)),
    )


def masked_plan(world_size: int = 1, **changes: Any) -> Plan:
    like_theirs = {
        "n_layer": 2, "n_head": 3, "n_embd": 24, "bias": True, "activation": "gelu_tanh", "block_size": theirs.CONTEXT,
        "vocab_size": theirs.VOCABULARY, "grad_clip": 0.0,
    }  # fmt: skip
    config = Config(**{**small.SMALL, **like_theirs, **changes})
    data = replace(small.DATA, counted_tokens=1000)
    return make_plan(config, data=data, machine=small.CPU, world_size=world_size)


@pytest.mark.parametrize(
    "split",
    [
        {"batch_size": 12},
        {"batch_size": 3, "gradient_accumulation_steps": 4},
        {"batch_size": 5, "effective_batch_size": 12},
        {"batch_size": 1, "gradient_accumulation_steps": 12},
    ],
    ids=str,
)
@pytest.mark.parametrize("world_size", [1, 2])
def test_loss_and_gradients_are_those_of_labels_of_minus_100(split: dict[str, int], world_size: int) -> None:
    examples, losses, gradients = Examples(), [], []
    if world_size == 2 and split["batch_size"] == 12:
        split = {"batch_size": 6, "gradient_accumulation_steps": 2}
    for rank in range(world_size):
        plan = masked_plan(world_size, **split)
        model, expected, wanted = reference(examples, plan)
        state = new_state(plan)
        fill(state.model, gpt2_weights(model.state_dict()), "theirs")
        engine = Rank(Place(rank=rank, world_size=world_size, local_rank=rank, local_world_size=world_size))
        losses.append(train_step(state, plan, engine, state.model, examples.take, Watch(plan, state)).loss)
        gradients.append(engine.gradients)
    assert sum(losses) / world_size == pytest.approx(expected, rel=2e-6)
    for name, gradient in wanted.items():
        ours = sum(found[name] for found in gradients) / world_size  # as DistributedDataParallel does
        torch.testing.assert_close(ours, gradient, rtol=2e-4, atol=2e-6, msg=name)


def test_the_validation_loss_is_the_mean_over_what_counts() -> None:
    examples, plan = Examples(), masked_plan(batch_size=5)
    model, expected, _ = reference(examples, plan)
    state = TrainState(build(plan.shape, seed=None), optimizer=torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]))
    fill(state.model, gpt2_weights(model.state_dict()), "theirs")
    [loss] = mean_losses(state, plan, Single(Place()), state.model, examples.take(0, SEQUENCES), Never()) or []
    assert loss == pytest.approx(expected, rel=1e-6)


def test_a_step_without_a_completion_has_no_loss_and_moves_nothing() -> None:
    examples, plan = Examples(), masked_plan(batch_size=3, weight_decay=0.0)
    examples.counts_NS[:] = False
    state = new_state(plan)
    before = [p.clone() for p in state.model.parameters()]
    done = train_step(state, plan, Single(Place()), state.model, examples.take, Watch(plan, state))
    assert done.loss == 0 and done.grad_norm == 0
    assert all(torch.equal(now, then) for now, then in zip(state.model.parameters(), before))


def test_a_run_on_completions_goes_on_bit_for_bit_and_is_told_apart_from_one_on_all(tmp_path: Path) -> None:
    lines = [{"prompt": f"{n} and {n + 1} are", "response": f" {2 * n + 1}."} for n in range(400)]
    (tmp_path / "tiny.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    prepare = ("prepare", "--input", "tiny.jsonl", "--tokenizer", "byte")
    report = gptmill(tmp_path, *prepare, "--completions", "--json").json()
    assert 0 < report["counted_tokens"] < report["train_tokens"]
    plan = gptmill(tmp_path, "plan", *SMALL, "--json").json()
    assert plan["counted_tokens"] == report["counted_tokens"]
    assert "prompts are only read" in gptmill(tmp_path, "plan", *SMALL).out
    straight = gptmill(tmp_path, "train", *SMALL, "--out_dir=straight", "--json").json()
    assert gptmill(tmp_path, "train", *SMALL, "--out_dir=two", "--max_iters=7").code == 0
    resumed = gptmill(tmp_path, "train", *SMALL, "--out_dir=two", "--resume", "--json").json()
    assert resumed["weights_sha256"] == straight["weights_sha256"]
    assert straight["best_val_loss"] < straight["unigram_entropy"] + 1
    penalty = gptmill(tmp_path, "plan", *SMALL, "--penalty_type=neg_entropy", "--penalty_weight=0.1")
    assert penalty.code == 2 and "prompts are only read" in penalty.err and len(penalty.err.splitlines()) == 1
    (tmp_path / "all.jsonl").write_text(
        "".join(json.dumps({"text": line["prompt"] + line["response"]}) + "\n" for line in lines)
    )
    gptmill(tmp_path, "prepare", "--input", "all.jsonl", "--name", "tiny", "--tokenizer", "byte", "--overwrite")
    other = gptmill(tmp_path, "train", *SMALL, "--out_dir=two", "--resume", "--max_iters=25")
    assert other.code == 2 and "data_sha256" in other.err
