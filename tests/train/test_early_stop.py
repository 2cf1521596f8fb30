"""The two rules against the text of their specification, written out naively; and what a stop means for a run."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptmill.events import CheckpointDue, EvalDone, RunDone, StepDone
from gptmill.plan.types import Plan
from gptmill.train.early_stop import EarlyStop, is_complete, observe, stop_reason
from tests.train.small import Corpus, Never, events, new_state, small_plan

RULES: dict[str, Any] = {
    "early_stopping": True, "early_stop_patience": 2, "early_stop_min_delta": 0.01,
    "early_stop_overfit_patience": 0, "early_stop_overfit_min_delta": 0.01,
}  # fmt: skip


def plan(**changes: Any) -> Plan:
    return small_plan(**RULES | changes)


def specified(losses: list[tuple[float, float]], p: Plan) -> int | None:
    """Number of the evaluation that ends the run, by the words of the specification.

    "Improvement iff loss < best - min_delta; counter reset; else counter+1, stop at >= patience. Overfit rule,
    independent: gap = val - train; if gap - prev_gap > overfit_min_delta counter+1 else counter = 0; stop at >=
    overfit_patience (0 = off); first epoch only sets prev_gap."
    """
    best, counter, overfit_counter, prev_gap = math.inf, 0, 0, None
    for number, (train, val) in enumerate(losses, 1):
        if val < best - p.early_stop_min_delta:
            best, counter = val, 0
        else:
            counter += 1
        gap = val - train
        if prev_gap is not None:
            overfit_counter = overfit_counter + 1 if gap - prev_gap > p.early_stop_overfit_min_delta else 0
        prev_gap = gap
        if counter >= p.early_stop_patience:
            return number
        if p.early_stop_overfit_patience and overfit_counter >= p.early_stop_overfit_patience:
            return number
    return None


def ends_at(losses: list[tuple[float, float]], p: Plan) -> int | None:
    seen = EarlyStop()
    for number, (train, val) in enumerate(losses, 1):
        seen = EarlyStop(**asdict(observe(seen, train, val, p)))  # as a checkpoint keeps it
        if stop_reason(seen, p):
            return number
    return None


LOSS = st.sampled_from([1.0, 1.005, 1.01, 1.02, 1.03, 1.1, 2.0]) | st.floats(0, 12)


@settings(max_examples=500, deadline=None)
@given(
    losses=st.lists(st.tuples(LOSS, LOSS), max_size=12),
    patience=st.integers(1, 4),
    overfit_patience=st.integers(0, 3),
    delta=st.sampled_from([0.0, 0.01, 0.5]),
    overfit_delta=st.sampled_from([0.0, 0.01, 0.5]),
)
def test_the_run_ends_at_the_evaluation_that_the_specification_names(
    losses: list[tuple[float, float]], patience: int, overfit_patience: int, delta: float, overfit_delta: float
) -> None:
    p = plan(
        early_stop_patience=patience,
        early_stop_overfit_patience=overfit_patience,
        early_stop_min_delta=delta,
        early_stop_overfit_min_delta=overfit_delta,
    )
    assert ends_at(losses, p) == specified(losses, p)


def test_the_reason_begins_with_the_key_of_the_rule() -> None:
    stale, widened = EarlyStop(1.0, stale=2, gap=0.0), EarlyStop(1.0, gap=0.1, widened=3)
    assert str(stop_reason(stale, plan())).startswith("early_stop_patience: ")
    overfit = plan(early_stop_overfit_patience=3)
    assert str(stop_reason(widened, overfit)).startswith("early_stop_overfit_patience: ")
    assert stop_reason(stale, plan(early_stopping=False)) is None


def test_a_larger_max_iters_asks_for_one_more_evaluation_at_least() -> None:
    seen = EarlyStop(1.0, stale=1, gap=0.0)
    seen = observe(seen, 1.0, 1.0, plan(max_iters=12))
    assert stop_reason(seen, plan(max_iters=12)) and stop_reason(seen, plan(max_iters=8))
    longer = plan(max_iters=20)
    assert stop_reason(seen, longer) is None
    assert stop_reason(observe(seen, 1.0, 1.0, longer), longer)
    assert stop_reason(observe(seen, 0.5, 0.5, longer), longer) is None


def done_record(**changes: Any) -> dict[str, Any]:
    seen = EarlyStop(1.0, stale=2, gap=0.0, gave_up_on=12)
    return {"iter": 6, "stopped": "early_stop_patience: ...", "early_stop": asdict(seen)} | changes


@pytest.mark.parametrize(
    ("record", "rules", "complete"),
    [
        ({}, {}, True),
        ({}, {"early_stop_patience": 3}, False),
        ({}, {"early_stopping": False}, False),
        ({}, {"max_iters": 13}, False),
        ({}, {"eval_only": True}, False),
        ({"stopped": None}, {}, False),
        ({"stopped": None, "iter": 12}, {}, True),
        ({"early_stop": None}, {}, False),
        ({"early_stop": {"stale": "many"}}, {}, False),
        ({"early_stop": {"patience": 1}}, {}, False),
    ],
)
def test_a_stopped_run_is_complete_until_its_rules_would_let_it_go_on(
    record: dict[str, Any], rules: dict[str, Any], complete: bool
) -> None:
    assert is_complete(plan(**rules), done_record(**record)) is complete


def run_to_the_end(p: Plan, stop_after: int | None = None) -> tuple[list[Any], list[torch.Tensor]]:
    """Events and final weights; interrupted once after ``stop_after`` steps, and continued."""
    state, stop, found = new_state(p), Never(), []
    corpus = Corpus(p)
    for event in events(p, state, corpus, stop):
        found.append(event)
        if isinstance(event, StepDone) and event.iter == stop_after:
            stop.signal = 15
    if stop_after is not None:
        found += list(events(p, state, corpus))
    return found, [weight.detach().clone() for weight in state.model.parameters()]


def evaluations(found: list[Any]) -> list[tuple[int, float]]:
    return [(event.iter, event.val_loss) for event in found if isinstance(event, EvalDone)]


def test_an_interrupted_run_stops_at_the_very_same_evaluation() -> None:
    p = plan(max_iters=60, eval_interval=3, early_stop_min_delta=0.8)
    found, weights = run_to_the_end(p)
    end = found[-1]
    assert isinstance(end, RunDone) and end.stopped and end.iter < 60
    assert found[-2] == CheckpointDue(end.iter, "end", best=found[-2].best)
    for stop_after in range(1, end.iter):
        again, same = run_to_the_end(p, stop_after)
        assert again[-1] == end and evaluations(again) == evaluations(found)
        assert all(torch.equal(a, b) for a, b in zip(weights, same))


def test_the_untrained_model_is_no_evaluation_to_improve_on() -> None:
    """Its loss is an accident of the initial weights, and its gap of the batches; the specification has no epoch 0."""
    p = plan(max_iters=60, eval_interval=3, learning_rate=0.0)
    found, _ = run_to_the_end(p)
    assert [iter for iter, _ in evaluations(found)] == [0, 3, 6, 9]  # 3 is the first, 6 and 9 are no better


def test_early_stopping_never_touches_the_weights() -> None:
    watched, weights = run_to_the_end(plan(early_stop_patience=100))
    plain, same = run_to_the_end(plan(early_stopping=False))
    assert evaluations(watched) == evaluations(plain) and all(torch.equal(a, b) for a, b in zip(weights, same))


def test_a_run_ended_by_max_iters_did_not_stop_early() -> None:
    found, _ = run_to_the_end(plan(max_iters=9, eval_interval=3, learning_rate=0.0))
    assert found[-1].stopped is None and found[-1].iter == 9
