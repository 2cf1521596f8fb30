"""What holds for every update rule, in real small runs: it learns, goes on bit for bit, and keeps what the plan says."""

from __future__ import annotations

import math
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gptmill.events import EvalDone, StepDone
from gptmill.model.gpt import build
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.optimizer import state_bytes
from gptmill.plan.types import Plan
from gptmill.train.capture import capture
from gptmill.train.checkpoint import save
from gptmill.train.evaluate import evaluate
from gptmill.train.loading import load
from gptmill.train.snapshot import Snapshot
from gptmill.train.state import TrainState
from gptmill.train.step import train_step
from gptmill.train.watch import Watch
from tests.train.small import Corpus, Never, events, new_state, small_plan

SPAM = {"spam_interval": 22, "spam_warmup_steps": 4, "spam_theta": 3.0}  # clips at step 21, resets at 22
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "sgd": [{"learning_rate": 1.0}],
    "adamwspam": [SPAM, {**SPAM, "spam_variant": "spikes", "spam_enable_clip": True, "spam_spike_threshold": 0.5}],
    "adamwprune": [{"adamwprune_base_optimizer_name": "adamwspam", **SPAM}],
    "muon": [{"n_kv_head": 1, "ffn_type": "swiglu"}],
}
RULES = [{"optimizer": name, **variant} for name in OPTIMIZERS for variant in VARIANTS.get(name, [{}])]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))
STEPS, HALF = 28, 13


def plan_of(rule: dict[str, Any], **changes: Any) -> Plan:
    return small_plan(**{"max_iters": STEPS, "eval_interval": 100, "n_layer": 1, **rule, **changes})


def bits(state: TrainState) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in capture(state).tensors.items()}


def assert_same(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert torch.equal(mine[name], theirs[name]), name


def steps(plan: Plan, state: TrainState, count: int) -> list[float]:
    """Losses of so many steps with nothing around them."""
    corpus = Corpus(plan)
    watch = Watch(plan, state)
    return [train_step(state, plan, Single(Place()), state.model, corpus.take, watch).loss for _ in range(count)]


@every_rule
def test_it_learns_and_goes_on_bit_for_bit_wherever_it_is_stopped_and_evaluated(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    plan = plan_of(rule)
    whole = new_state(plan)
    losses = [event.loss for event in events(plan, whole) if isinstance(event, StepDone)]
    assert losses[0] == pytest.approx(math.log(29), abs=0.2) and losses[-1] < losses[0] - 0.8

    plan = plan_of(rule, eval_interval=4)
    half, other = new_state(plan), new_state(plan)
    list(takewhile(lambda event: not (isinstance(event, StepDone) and event.iter == HALF), events(plan, half)))
    steps(plan, other, 2)  # what it has of its own must go
    load(save(tmp_path, half, {}).path, other)
    assert_same(bits(other), bits(half))
    list(events(plan, other))
    assert_same(bits(other), bits(whole))


@every_rule
def test_a_state_in_memory_is_gone_back_to_bit_for_bit_from_the_start_on(rule: dict[str, Any]) -> None:
    plan = plan_of(rule)
    state = new_state(plan)
    for count in (2, 3):
        kept = Snapshot(state)
        steps(plan, state, count)
        then = bits(state)
        kept.restore(state, past=[10**6, 10**6])
        steps(plan, state, count)
        assert_same(bits(state), then)


@every_rule
def test_an_overflow_in_float16_leaves_weights_and_moments_alone(rule: dict[str, Any]) -> None:
    plan = plan_of(rule)
    state = new_state(plan)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    steps(plan, state, 3)
    before = bits(state)
    hook = state.model.wte.weight.register_hook(lambda grad: grad * math.inf)
    steps(plan, state, 1)
    hook.remove()
    assert_same(bits(state), before)
    assert steps(plan, state, 1)[0] < 3.3 and bits(state).keys() == before.keys()


@every_rule
def test_it_keeps_as_many_bytes_as_the_plan_says(rule: dict[str, Any]) -> None:
    plan = plan_of(rule)
    state = new_state(plan)
    steps(plan, state, 1)
    moments = [v for kept in state.optimizer.state_dict()["state"].values() for v in kept.values() if v.dim()]
    assert sum(v.nbytes for v in moments) == state_bytes(plan)


@every_rule
@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_is_updated_once_and_only_matrices_decay(rule: dict[str, Any], tied: bool) -> None:
    plan = plan_of(rule, weight_tying=tied, bias=True, weight_decay=0.3, adamwprune_weight_decay=0.3)
    model = build(plan.shape, seed=0)
    groups = OPTIMIZERS[plan.optimizer](model, plan).param_groups
    listed = [p for group in groups for p in group["params"]]
    assert len(listed) == len(set(listed)) and set(listed) == set(model.parameters())
    decays = {p: group["weight_decay"] for group in groups for p in group["params"]}
    for p, decay in decays.items():
        assert decay == (0.3 if p.dim() >= 2 and plan.optimizer != "adam" else 0.0)


@every_rule
def test_a_weight_without_a_gradient_stays_and_learns_once_it_has_one(rule: dict[str, Any]) -> None:
    plan = plan_of(rule)
    model = build(plan.shape, seed=0)
    optimizer = OPTIMIZERS[plan.optimizer](model, plan)
    late = model.blocks[0].get_submodule("attn.c_attn").weight
    before = late.detach().clone()
    for update in range(25):
        assert torch.equal(late, before)
        for p in model.parameters():
            p.grad = torch.ones_like(p) if p is not late or update == 24 else None
        getattr(optimizer, "before_clip", lambda _: None)([1.0] * update)
        optimizer.step()
    assert not torch.equal(late, before)


def test_muon_leaves_embeddings_head_and_positions_to_adamw() -> None:
    plan = plan_of({"optimizer": "muon", "weight_tying": False})
    model = build(plan.shape, seed=0)
    groups = OPTIMIZERS["muon"](model, plan).param_groups
    names = {p: name for name, p in model.named_parameters()}
    adamw = {names[p] for group in groups if "rows" not in group for p in group["params"] if p.dim() == 2}
    assert adamw == {"wte.weight", "position.wpe.weight", "lm_head.weight"}


def test_the_weights_of_a_checkpoint_are_those_that_were_evaluated(tmp_path: Path) -> None:
    plan = plan_of({"optimizer": "schedule_free_adamw"}, max_iters=6, eval_interval=6)
    state, corpus = new_state(plan), Corpus(plan)
    evaluated = [event for event in events(plan, state, corpus) if isinstance(event, EvalDone)][-1]
    saved = save(tmp_path, state, {})
    plain = plan_of({"optimizer": "sgd"})
    sampled = new_state(plain)  # as whoever samples from it reads it: weights, whatever the optimizer
    from safetensors.torch import load_file

    sampled.model.load_state_dict(load_file(saved.path / "model.safetensors"), strict=False)
    windows = {"train": corpus.windows_NS[:6].copy(), "val": corpus.windows_NS[50:57].copy()}
    found = evaluate(plain, sampled, Single(Place()), sampled.model, windows, Never())
    assert found and (found.train_loss, found.val_loss) == (evaluated.train_loss, evaluated.val_loss)
    trains = capture(state).moments["wte.weight.y"]
    assert torch.equal(trains, state.model.wte.weight) and not torch.equal(trains, sampled.model.wte.weight)


OPTIONS = {
    **{"beta1": 0.5, "beta2": 0.7, "eps": 1e-2, "weight_decay": 0.5, "momentum": 0.3, "muon_momentum": 0.3},
    **{"muon_learning_rate": 0.02, "adamwprune_beta1": 0.5, "adamwprune_weight_decay": 0.5},
}


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "adamwprune adam"])
def test_the_plan_names_exactly_the_settings_that_change_no_bit(optimizer: str) -> None:
    name, *base = optimizer.split()
    rule = {"optimizer": name, **({"adamwprune_base_optimizer_name": base[0]} if base else {})}

    def after_three_steps(**option: float) -> dict[str, Tensor]:
        plan = plan_of(rule, **option)
        state = new_state(plan)
        steps(plan, state, 3)
        return bits(state)

    plain = after_three_steps()
    for key, value in OPTIONS.items():
        changed = after_three_steps(**{key: value})
        read = any(not torch.equal(changed[each], plain[each]) for each in plain)
        told = any(piece.key == key and "is not used" in piece.says for piece in plan_of(rule, **{key: value}).advice)
        assert told == (not read), key
