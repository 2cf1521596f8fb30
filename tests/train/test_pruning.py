"""Pruning as a part of a run: checkpoints, steps that are not taken, going back, and what is best."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gptmill.events import CheckpointDue, EvalDone, StepDone
from gptmill.optim.pruning.methods import METHODS
from gptmill.plan.types import Plan
from gptmill.train.checkpoint import resume, save
from gptmill.train.state import TrainState
from tests.train.small import Corpus, events, new_state, small_plan

RAMP = {"target_sparsity": 0.7, "pruning_warmup": 2, "pruning_interval": 2, "pruning_ramp_end": 9}
FACTS: dict[str, Any] = {"must_match": {}, "bits": {}}


def all_tensors(state: TrainState) -> dict[str, torch.Tensor]:
    assert state.pruner
    moments = {
        f"{n}.{key}": value
        for n, weight in enumerate(state.model.parameters())
        for key, value in state.optimizer.state[weight].items()
    }
    return {**dict(state.model.named_parameters()), **state.pruner.tensors, **moments}


def equal(one: TrainState, other: TrainState) -> bool:
    a, b = all_tensors(one), all_tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [1, 5, 10])
def test_a_run_that_goes_on_from_a_checkpoint_has_the_bits_of_one_that_never_stopped(
    method: str, step: int, tmp_path: Path
) -> None:
    plan = small_plan(pruning_method=method, dropout=0.2, snapshot_interval=step, **RAMP)
    straight = new_state(plan)
    for event in events(plan, straight):
        if isinstance(event, CheckpointDue) and event.iter == step:
            save(tmp_path, straight, FACTS)
    again = new_state(plan)
    folder, _ = resume(tmp_path, again, FACTS)
    assert folder and again.iter == step
    assert again.pruner and (again.pruner.n_pruned > 0) == (step > 2)
    list(events(plan, again))
    assert straight.iter == again.iter == 12 and equal(straight, again)
    weights, pruning = (load_file(folder / f"{name}.safetensors") for name in ("model", "pruning"))
    found = {name: mask for name, mask in pruning.items() if name.endswith(".mask")}
    gone = 0
    for name, mask in found.items():
        weight = weights[name.removeprefix("pruning.").removesuffix(".mask")]
        assert mask.dtype == torch.bool and not weight[~mask].view(torch.int32).any()
        gone += int((~mask).sum())
    share = {1: 0.0, 5: 0.7 * 2 / 7, 10: 0.7}[step]
    assert gone == round(share * sum(mask.numel() for mask in found.values()))


def test_a_checkpoint_of_a_dense_run_can_be_pruned_and_one_of_another_method_gone_on_with(tmp_path: Path) -> None:
    dense = small_plan(max_iters=6)
    state = new_state(dense)
    list(events(dense, state))
    save(tmp_path, state, FACTS)
    for method in ("movement", "magnitude"):
        plan = small_plan(
            pruning_method=method, target_sparsity=0.5, pruning_warmup=7, pruning_ramp_end=8, max_iters=10
        )
        later = new_state(plan)
        resume(tmp_path, later, FACTS)
        first = later.model.blocks[0].attn.c_attn.weight.detach().clone()
        list(events(plan, later))
        assert later.pruner and later.pruner.n_pruned == round(0.5 * later.pruner.n_prunable)
        if method == "movement":
            assert torch.equal(later.pruner.tensors["pruning.blocks.0.attn.c_attn.weight.initial"], first)
            save(tmp_path, later, FACTS)


@pytest.mark.parametrize("policy", ["skip", "rollback"])
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_that_is_kept_from_the_weights_is_kept_from_the_masks(policy: str, method: str) -> None:
    """Its step is the one at the end of the ramp: the next one then meets the target."""
    plan = small_plan(pruning_method=method, on_nonfinite=policy, max_iters=14, eval_interval=6, **RAMP)
    state, seen = new_state(plan), {}
    poisoned = True

    def poison(grad: torch.Tensor) -> torch.Tensor:
        return grad * math.nan if poisoned and state.iter == 8 else grad

    state.model.wte.weight.register_hook(poison)
    for event in events(plan, state):
        if isinstance(event, StepDone):
            seen[event.iter] = (event.skipped, event.sparsity)
            if event.skipped:
                poisoned = policy == "skip"
    assert state.pruner and seen[14][1] == round(0.7 * state.pruner.n_prunable) / state.pruner.n_prunable
    if policy == "skip":
        assert seen[9] == (True, seen[8][1]) and seen[10] == (False, seen[14][1])
    else:
        clean = new_state(plan)
        corpus = Corpus(plan)
        take, passed = corpus.take, 4
        corpus.take = lambda first, count: take(first + (passed if first >= 32 else 0), count)  # type: ignore[method-assign]
        list(events(plan, clean, corpus))
        assert equal(state, clean)


def test_float16_overflow_changes_neither_masks_nor_what_movement_remembers() -> None:
    plan = small_plan(pruning_method="gradient_movement", **RAMP)
    state = new_state(plan)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    overflowing = set()
    state.model.wte.weight.register_hook(lambda grad: grad * math.inf if state.iter in (4, 8) else grad)
    before: dict[str, torch.Tensor] = {}
    assert state.pruner
    for event in events(plan, state):
        if isinstance(event, StepDone):
            if event.skipped:
                overflowing.add(event.iter)
                assert all(torch.equal(tensor, before[name]) for name, tensor in state.pruner.tensors.items())
            before = {name: tensor.clone() for name, tensor in state.pruner.tensors.items()}
    assert overflowing == {5, 9} and state.pruner.sparsity == pytest.approx(0.7, abs=1e-3)


def best_of(plan: Plan) -> list[tuple[int, float]]:
    return [(e.iter, e.val_loss) for e in events(plan, new_state(plan)) if isinstance(e, EvalDone) and e.best]


def test_the_best_checkpoint_is_as_sparse_as_promised_although_a_denser_one_had_a_lower_loss() -> None:
    hard = {"target_sparsity": 0.95, "pruning_warmup": 28, "pruning_interval": 1, "pruning_ramp_end": 30}
    plan = small_plan(pruning_method="magnitude", max_iters=32, eval_interval=4, **hard)
    found = best_of(plan)
    assert [step for step, _ in found][-2:] == [28, 32]
    assert found[-1][1] > found[-2][1] + 0.05


def test_one_layer_may_lose_more_than_another_and_the_record_says_so() -> None:
    plan = small_plan(pruning_method="magnitude", **RAMP)
    state = new_state(plan)
    told = {e.iter: e.pruning for e in events(plan, state) if isinstance(e, StepDone) and e.pruning}
    assert sorted(told) == [4, 6, 8, 9] and [told[t]["complete"] for t in sorted(told)] == [False] * 3 + [True]
    weights, last = dict(state.model.named_parameters()), told[9]
    assert last["layers"] == {name: int((weights[name] == 0).sum()) / weights[name].numel() for name in last["layers"]}
    assert len(set(last["layers"].values())) > 1
    assert last["pruned"] == sum(int((weights[name] == 0).sum()) for name in last["layers"])
    assert last["prunable"] == sum(weights[name].numel() for name in last["layers"])
