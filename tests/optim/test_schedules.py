"""Learning rates against values worked out by hand and against PyTorch's own scheduler."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptmill.optim.schedules import SCHEDULES, lr_at
from tests.train.small import small_plan


def test_worked_values() -> None:
    plan = small_plan(learning_rate=6e-4, min_lr=6e-5, warmup_iters=2000, max_iters=600000)
    assert lr_at(0, plan) == pytest.approx(6e-4 / 2001)
    assert lr_at(5, plan) == pytest.approx(1.80e-06, rel=1e-3)  # nanoGPT's rule, (it + 1) / (warmup + 1)
    assert lr_at(2000, plan) == 6e-4
    assert lr_at((600000 + 2000) // 2, plan) == pytest.approx(3.3e-4)
    assert lr_at(600000, plan) == lr_at(10**7, plan) == pytest.approx(6e-5)


def test_cosine_equals_pytorchs() -> None:
    plan = small_plan(learning_rate=0.3, min_lr=0.01, warmup_iters=0, max_iters=50)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.3)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.01)
    for step in range(51):
        assert lr_at(step, plan) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        reference.step()


def test_wsd_holds_the_peak_and_then_falls_as_one_minus_sqrt() -> None:
    plan = small_plan(schedule="wsd", learning_rate=1.0, min_lr=0.1, warmup_iters=10, max_iters=100, decay_fraction=0.2)
    assert lr_at(9, plan) == pytest.approx(10 / 11)
    assert {lr_at(step, plan) for step in range(10, 81)} == {1.0}
    assert lr_at(85, plan) == pytest.approx(0.55)  # a quarter of the decay: 1 - sqrt(1/4) of the way is left
    assert lr_at(93, plan) == pytest.approx(0.1 + 0.9 * (1 - (13 / 20) ** 0.5))
    assert lr_at(100, plan) == lr_at(1000, plan) == pytest.approx(0.1)
    long = small_plan(schedule="wsd", learning_rate=1.0, min_lr=0.0, warmup_iters=90, max_iters=100, decay_fraction=0.5)
    assert lr_at(90, long) == 1.0 and lr_at(89, long) > 0.9  # no cliff where warmup ends within the decay
    assert lr_at(100, long) == 0.0
    whole = small_plan(schedule="wsd", learning_rate=1.0, min_lr=0.0, warmup_iters=0, max_iters=100, decay_fraction=1.0)
    assert lr_at(25, whole) == pytest.approx(0.5)


@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    warmup=st.integers(0, 30),
    decay=st.integers(1, 60),
    step=st.integers(0, 200),
)
def test_a_rate_stays_between_its_bounds_and_never_rises_after_warmup(
    name: str, warmup: int, decay: int, step: int
) -> None:
    plan = small_plan(
        schedule=name, learning_rate=0.5, min_lr=0.05, warmup_iters=warmup, lr_decay_iters=decay, max_iters=40
    )
    rate = lr_at(step, plan)
    assert 0 < rate <= 0.5 * (1 + 1e-12)
    if step >= warmup:
        assert rate >= 0.05 * (1 - 1e-12)
        assert lr_at(step + 1, plan) <= rate * (1 + 1e-12)
    else:
        assert lr_at(step + 1, plan) > rate or warmup == step + 1


def test_decay_lr_false_is_a_constant_rate_without_warmup() -> None:
    plan = small_plan(decay_lr=False, learning_rate=3e-5, warmup_iters=2000)
    assert {lr_at(step, plan) for step in range(50)} == {3e-5}
