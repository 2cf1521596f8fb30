"""The chosen micro-batch is the largest within the target, by the plan and by what a trial takes; the step stays the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptmill.cli import auto_batch
from gptmill.cli.trial import trial_apart, trial_here
from gptmill.config.load import load
from gptmill.errors import GptmillError
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.auto_batch import choose_batch_size
from gptmill.plan.batch import in_micro_steps
from gptmill.plan.fit import needs
from gptmill.plan.memory import memory_of
from gptmill.plan.types import Plan
from tests.cli.run import SMALL, gptmill, prepare_tiny
from tests.train.small import new_state, small_plan

SHARE = st.floats(0.02, 1.5)
EFFECTIVE = st.integers(1, 300)


def asked(effective: int, most: int | None = None, **keys: Any) -> Plan:
    return small_plan(effective_batch_size=effective, max_batch_size=most, n_embd=64, block_size=64, **keys)


def one_step_fewer(plan: Plan) -> Plan | None:
    """The next larger micro-batch, None where effective_batch_size or max_batch_size binds."""
    if plan.micro_steps == 1:
        return None
    larger = in_micro_steps(plan, plan.micro_steps - 1, plan.effective_batch_size)
    return None if larger.batch_size > (plan.max_batch_size or larger.batch_size) else larger


@given(effective=EFFECTIVE, most=st.none() | st.integers(1, 64), share=SHARE)
def test_the_plan_chooses_the_largest_that_it_says_fits(effective: int, most: int | None, share: float) -> None:
    plan = asked(effective, most, batch_size=1)
    whole = needs(in_micro_steps(plan, 1, effective))
    chosen = choose_batch_size(replace(plan, memory_target=int(share * whole)))
    assert chosen.effective_batch_size == effective
    if chosen.batch_size > 1:
        assert needs(chosen) <= int(share * whole)
    larger = one_step_fewer(chosen)
    assert larger is None or needs(larger) > int(share * whole)


@given(effective=EFFECTIVE, most=st.none() | st.integers(1, 64), share=SHARE, error=st.floats(0.6, 1.6))
def test_a_trial_corrects_a_plan_that_is_far_off(effective: int, most: int | None, share: float, error: float) -> None:
    """The device takes ``error`` times what is planned, and runs out beyond 1.3 times the target."""
    plan = asked(effective, most, batch_size=1)
    target = int(share * needs(in_micro_steps(plan, 1, effective)))
    plan = choose_batch_size(replace(plan, memory_target=target))

    def takes(candidate: Plan, *_: object) -> int | None:
        used = int(error * needs(candidate))
        return used if used < 1.3 * target else None

    try:
        chosen = tried(plan, takes)
    except GptmillError as refused:
        assert "batch_size=1" in str(refused) and takes(in_micro_steps(plan, effective, effective)) is None
        return
    used = takes(chosen)
    assert chosen.effective_batch_size == effective
    assert chosen.batch_size == 1 or (used is not None and used <= target)
    larger = one_step_fewer(chosen)
    assert larger is None or takes(larger) is None or takes(larger) > target  # type: ignore[operator]


def tried(plan: Plan, takes: Callable[..., int | None]) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto_batch, "trial_apart", takes)
        patch.setattr(auto_batch, "say", lambda *_: None)
        found = SimpleNamespace(engine=Single(Place()), state=SimpleNamespace(model=None))
        return auto_batch.try_batch_size(plan, found, asked=True)  # type: ignore[arg-type]


def test_a_trial_in_the_run_s_own_process_leaves_the_weights_and_gradients_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {"reset_peak_memory_stats": None, "mem_get_info": (6, 9), "memory_reserved": 1, "max_memory_reserved": 2}
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    plan = small_plan(dropout=0.1)
    state, fresh = new_state(plan), new_state(plan)
    assert trial_here(plan, state, state.model) == 9 - 6 - 1 + 2 + memory_of(plan).optimizer
    assert all(p.grad is None and p.equal(q) for p, q in zip(state.model.parameters(), fresh.model.parameters()))


def test_a_trial_in_a_process_of_its_own_holds_the_torch_library_and_the_plan_s_tensors() -> None:
    small, large = small_plan(n_embd=64), small_plan(n_embd=64, batch_size=512, effective_batch_size=512, block_size=64)
    held = [trial_apart(plan) for plan in (small, large)]
    assert held[0] and held[1]
    assert held[1] - held[0] == pytest.approx(memory_of(large).peak - memory_of(small).peak, rel=0.5)


def test_the_command_takes_the_same_steps_in_the_batches_it_chose(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    small = [word for word in SMALL if "accumulation" not in word]
    words = ["train", *small, "--dtype=float32", "--max_iters=10", "--json", "--effective_batch_size=24"]
    plain = gptmill(tmp_path, *words, "--out_dir=plain").json()
    done = gptmill(tmp_path, *words, "--out_dir=auto", "--auto_batch_size", "--max_batch_size=5")
    assert "batch_size=5: takes" in done.err and "Batch: 4-5 sequences x 5 micro-batches = 24 sequences" in done.err
    assert done.json()["best_val_loss"] == pytest.approx(plain["best_val_loss"], abs=1e-5)
    assert json.loads((tmp_path / "auto" / "plan.json").read_text())["batch_size"] == 5


def test_a_number_in_a_higher_layer_ends_the_choosing() -> None:
    assert load(["--batch_size=auto"]).config.auto_batch_size
    config = load(["openwebtext_adaptive_batch", "--penalty_type=none", "--penalty_weight=0"]).config
    assert config.auto_batch_size and (config.max_batch_size, config.effective_batch_size) == (64, 512)
    given_a_number = load(["openwebtext_adaptive_batch", "--penalty_type=none", "--penalty_weight=0", "--batch_size=4"])
    assert not given_a_number.config.auto_batch_size
