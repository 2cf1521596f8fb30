"""Pruning beside torch's own, float64 and the formulas of its sources."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from gptmill.config import schema
from gptmill.config.coerce import choices
from gptmill.errors import ConfigError
from gptmill.model.gpt import build
from gptmill.optim.pruning.methods import METHODS
from gptmill.optim.pruning.pruner import prunable
from gptmill.optim.pruning.ramp import is_due, sparsity_at
from gptmill.optim.pruning.select import key_of, threshold
from gptmill.plan.types import Plan
from gptmill.train.state import TrainState
from tests.train.small import events, new_state, small_plan

AT_ONCE = {"pruning_warmup": 0, "pruning_interval": 1, "pruning_ramp_end": 1}


def masks(state: TrainState) -> dict[str, Tensor]:
    assert state.pruner
    found = {name: tensor for name, tensor in state.pruner.tensors.items() if name.endswith(".mask")}
    return {name.removeprefix("pruning.").removesuffix(".mask"): mask for name, mask in found.items()}


def kept(state: TrainState, what: str) -> dict[str, Tensor]:
    assert state.pruner
    found = {name: tensor for name, tensor in state.pruner.tensors.items() if name.endswith(f".{what}")}
    return {name.removeprefix("pruning.").removesuffix(f".{what}"): tensor for name, tensor in found.items()}


def trained(plan: Plan) -> TrainState:
    state = new_state(plan)
    list(events(plan, state))
    return state


def test_the_schema_lists_exactly_the_registered_methods() -> None:
    assert set(choices("pruning_method")) == {"none", *METHODS} and schema.Config().pruning_method == "none"


@pytest.mark.parametrize("k", [1, 2, 500, 777, 999, 1000])
@pytest.mark.parametrize("kind", ["normal", "positive", "few values", "all equal", "extremes"])
def test_the_kth_lowest_is_the_one_that_sorting_finds(kind: str, k: int) -> None:
    dice = np.random.default_rng(5)
    numbers = {
        "normal": dice.standard_normal(1000),
        "positive": np.exp(20 * dice.standard_normal(1000)),
        "few values": dice.integers(-2, 3, 1000) / 4,
        "all equal": np.full(1000, -0.0),
        "extremes": np.where(dice.random(1000) < 0.3, -math.inf, dice.standard_normal(1000) * 1e-42),
    }[kind].astype(np.float32)
    cuts = [torch.from_numpy(numbers[a:b].copy()) for a, b in ((0, 3), (3, 3), (3, 640), (640, 1000))]
    lowest, tied = threshold([lambda part=part: key_of(part) for part in cuts], k)  # type: ignore[misc]
    expected = np.sort(numbers)[k - 1]
    assert lowest == int(key_of(torch.tensor([expected]))[0])
    assert tied == k - int((numbers < expected).sum())


def test_keys_have_the_order_of_the_numbers() -> None:
    numbers = np.array([-math.inf, -3e38, -1, -1e-45, 0, 1e-45, 2e-38, 1, 3e38, math.inf], np.float32)
    keys = key_of(torch.from_numpy(numbers)).tolist()
    assert keys == sorted(set(keys))
    assert key_of(torch.tensor([-0.0])).item() == key_of(torch.tensor([0.0])).item()


@pytest.mark.parametrize("tying", [True, False])
def test_linear_layers_are_pruned_and_embeddings_are_not(tying: bool) -> None:
    plan = small_plan(weight_tying=tying)
    model = build(plan.shape, seed=1)
    expected = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Linear)} - {
        "lm_head.weight" if tying else ""
    }
    assert set(prunable(model, tied_head=False)) == expected and len(expected) == (8 if tying else 9)
    more = {"wte.weight"} if tying else set()  # the name of the one matrix that both are
    assert set(prunable(model, tied_head=True)) == expected | more


@pytest.mark.parametrize("target", [0.0001, 0.29, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("size", [{}, {"n_embd": 18, "n_layer": 1, "ffn_type": "swiglu", "weight_tying": False}])
def test_magnitude_prunes_what_torch_prunes(target: float, size: dict[str, Any]) -> None:
    plan = small_plan(pruning_method="magnitude", target_sparsity=target, max_iters=1, **AT_ONCE, **size)
    state = trained(plan)
    dense = trained(small_plan(max_iters=1, **size)).model  # the same update, unpruned
    parts = [(part, "weight") for name, part in dense.named_modules() if isinstance(part, nn.Linear)]
    parts = [pair for pair in parts if size or pair[0] is not dense.lm_head]
    n = sum(part.weight.numel() for part, _ in parts)
    torch_prune.global_unstructured(parts, torch_prune.L1Unstructured, amount=round(target * n))
    assert state.pruner and state.pruner.n_pruned == sum(int((part.weight_mask == 0).sum()) for part, _ in parts)
    assert abs(state.pruner.n_pruned - target * state.pruner.n_prunable) <= 1
    theirs = {name: part.weight for name, part in dense.named_modules() if (part, "weight") in parts}
    ours = {f"{name}.weight": weight.detach() for name, weight in theirs.items()}
    for name, weight in state.model.named_parameters():
        if name in ours:
            assert torch.equal(weight, ours[name]), name


def test_equal_weights_go_in_order_until_exactly_the_target_is_met() -> None:
    plan = small_plan(pruning_method="magnitude", target_sparsity=0.37, **AT_ONCE)
    state = new_state(plan)
    with torch.no_grad():
        for weight in state.model.parameters():
            weight.fill_(0.25)
    assert state.pruner and state.pruner.prune(1)
    flat = torch.cat([mask.flatten() for mask in masks(state).values()])
    gone = round(0.37 * len(flat))
    assert not flat[:gone].any() and flat[gone:].all()


def test_the_ramp_is_the_documents() -> None:
    plan = small_plan(target_sparsity=0.7, pruning_warmup=100, pruning_ramp_end=900, pruning_interval=50)
    document = [0.7 * min(1, (t - 100) / (900 - 100)) if t > 100 else 0.0 for t in range(2000)]
    assert [sparsity_at(t, plan) for t in range(2000)] == pytest.approx(document, abs=1e-15)
    assert [t for t in range(900) if is_due(t, plan)] == list(range(150, 900, 50))
    assert is_due(900, plan) and is_due(901, plan)  # where the one at the end of the ramp was skipped
    sudden = small_plan(target_sparsity=0.7, pruning_warmup=100, pruning_ramp_end=100)
    assert [sparsity_at(t, sudden) for t in (100, 101)] == [0.0, 0.7] and is_due(101, sudden)
    assert small_plan(max_iters=77, pruning_method="magnitude", target_sparsity=0.7).pruning_ramp_end == 77
    assert small_plan(max_iters=77).pruning_ramp_end == 0, "nothing is pruned"


def float64_scores(state: TrainState, method: str, first: dict[str, Tensor], pushed: dict[str, Tensor]) -> Tensor:
    found = []
    for name, weight in prunable(state.model, False).items():
        w, moments = weight.detach().double(), state.optimizer.state[weight]
        m, v = moments["exp_avg"].double(), moments["exp_avg_sq"].double()
        found.append(
            {
                "magnitude": w.abs(),
                "movement": w * (w - first[name].double()),
                "gradient_movement": -pushed[name],
                "state": (w * m).abs() * w.abs() / (v.sqrt() + 1e-8),
            }[method].flatten()
        )
    return torch.cat(found)


@pytest.mark.parametrize("method", METHODS)
def test_the_lowest_scores_in_float64_are_what_goes(method: str) -> None:
    """Six updates without pruning, then a third at once: what is left scores above all that went, but for rounding."""
    plan = small_plan(pruning_method=method, target_sparsity=0.33, pruning_warmup=6, max_iters=6, dropout=0.1)
    state = new_state(plan)
    first = {name: w.detach().clone() for name, w in state.model.named_parameters()}
    pushed = {name: torch.zeros_like(w, dtype=torch.float64) for name, w in state.model.named_parameters()}

    def push(*_: object) -> None:
        for name, w in state.model.named_parameters():
            assert w.grad is not None
            pushed[name] += w.grad.double() * w.detach().double()

    state.optimizer.register_step_pre_hook(push)
    list(events(plan, state))
    assert state.pruner and state.pruner.n_pruned == 0
    scores = float64_scores(state, method, first, pushed)
    if method == "gradient_movement":
        mine = torch.cat([kept(state, "score")[name].flatten() for name in prunable(state.model, False)]).double()
        torch.testing.assert_close(mine, scores, rtol=1e-4, atol=1e-6 * float(scores.abs().max()))
    state.pruner.prune(7)
    stays = torch.cat([mask.flatten() for mask in masks(state).values()])
    assert int((~stays).sum()) == round(0.33 * len(stays))
    spread = float(scores.abs().max())
    assert scores[~stays].max() <= scores[stays].min() + 1e-6 * spread
    order = scores.argsort()[: int((~stays).sum())]
    assert (~stays)[order].float().mean() > 0.999


@pytest.mark.parametrize("method", METHODS)
def test_a_run_follows_the_ramp_ends_at_the_target_and_what_went_never_returns(method: str) -> None:
    plan = small_plan(
        pruning_method=method, target_sparsity=0.8, pruning_warmup=2, pruning_interval=3, pruning_ramp_end=10
    )
    state, seen = new_state(plan), {}
    assert state.pruner
    before = {name: mask.clone() for name, mask in masks(state).items()}
    for event in events(plan, state):
        if hasattr(event, "sparsity"):
            seen[event.iter] = event.sparsity
            for name, mask in masks(state).items():
                assert not (mask & ~before[name]).any()
                weight = dict(state.model.named_parameters())[name].detach()
                assert not weight[~mask].view(torch.int32).any()  # +0.0, and not -0.0
            before = {name: mask.clone() for name, mask in masks(state).items()}
    n = state.pruner.n_prunable
    steps = {t: round(sparsity_at(t, plan) * n) / n for t in (3, 6, 9, 10)}
    expected = {t: steps[max((due for due in steps if due <= t), default=0)] if t >= 3 else 0.0 for t in range(1, 13)}
    assert seen == expected and seen[12] == round(0.8 * n) / n
    zeros = sum(int((w == 0).sum()) for w in prunable(state.model, False).values())
    assert zeros == state.pruner.n_pruned


def test_state_pruning_leaves_pruned_weights_out_of_gradients_and_moments() -> None:
    plan = small_plan(
        pruning_method="state", target_sparsity=0.6, pruning_warmup=2, pruning_interval=1, pruning_ramp_end=4
    )
    state = new_state(plan)
    seen: list[bool] = []

    def look(*_: object) -> None:
        gone = {name: ~mask for name, mask in masks(state).items() if not mask.all()}
        weights = dict(state.model.named_parameters())
        seen.append(all(not weights[name].grad[there].any() for name, there in gone.items()) and bool(gone))  # type: ignore[index]

    state.optimizer.register_step_pre_hook(look)
    list(events(plan, state))
    assert seen == [False] * 3 + [True] * 9
    for name, weight in prunable(state.model, False).items():
        for key in ("exp_avg", "exp_avg_sq"):
            moment = state.optimizer.state[weight][key]
            assert not moment[~masks(state)[name]].any() and moment.any()


def test_freezing_all_that_could_be_pruned_is_said_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="freeze=blocks leaves nothing to prune"):
        small_plan(pruning_method="magnitude", freeze="blocks")
    assert small_plan(pruning_method="magnitude", freeze="blocks", prune_tied_head=True)
