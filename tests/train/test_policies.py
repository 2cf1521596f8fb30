"""What on_spike and on_nonfinite promise: the batch never reaches the weights, bit for bit, however often it is killed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gptmill.errors import GptmillError
from gptmill.events import Alarm, CheckpointDue, Event, RunStarted, StepDone
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.types import Plan
from gptmill.train import checkpoint
from gptmill.train.members import numbers_of, restore_numbers
from gptmill.train.state import TrainState
from gptmill.train.step import train_step
from gptmill.train.watch import Watch
from tests.train.small import N_SETTLED, SETTLED, Corpus, events, new_state, small_plan

BATCH = 4
BAD_STEP = N_SETTLED + 6
FIRST_BAD = (BAD_STEP - 1) * BATCH  # training sequence
NOISE = np.random.default_rng(1).integers(29, size=(BATCH, 17))


def policy_plan(**changes: Any) -> Plan:
    return small_plan(**{**SETTLED, "max_iters": N_SETTLED + 14, "snapshot_interval": 4, **changes})


class Noisy(Corpus):
    """A corpus with noise in place of some batches."""

    def __init__(self, plan: Plan, first: int = FIRST_BAD, last: int = FIRST_BAD) -> None:
        super().__init__(plan)
        self.bad = range(first, last + 1)

    def take(self, first: int, count: int) -> np.ndarray:
        windows_BS = super().take(first, count)
        return NOISE if first in self.bad else windows_BS


def assert_same(a: TrainState, b: TrainState) -> None:
    for (name, mine), theirs in zip(a.model.named_parameters(), b.model.parameters()):
        assert torch.equal(mine, theirs), name
        assert torch.equal(a.optimizer.state[mine]["exp_avg_sq"], b.optimizer.state[theirs]["exp_avg_sq"]), name


def by_hand(plan: Plan, state: TrainState, steps: int, corpus: Corpus) -> None:
    """Take steps with nothing around them."""
    for _ in range(steps):
        train_step(state, plan, Single(Place()), state.model, corpus.take, Watch(plan, state))


def alarms(found: list[Event]) -> list[Alarm]:
    return [event for event in found if isinstance(event, Alarm)]


@pytest.mark.parametrize("scaled", [False, True])
def test_a_skipped_batch_leaves_the_weights_as_though_it_had_not_been(settled: TrainState, scaled: bool) -> None:
    plan = policy_plan(on_spike="skip")
    state, other = copy.deepcopy(settled), copy.deepcopy(settled)
    if scaled:  # as with float16
        state.scaler, other.scaler = (torch.amp.GradScaler("cpu", init_scale=2.0**8) for _ in range(2))
    found = list(events(plan, state, Noisy(plan)))
    by_hand(plan, other, 5, Corpus(plan))
    other.iter, other.sequences = other.iter + 1, other.sequences + BATCH
    by_hand(plan, other, 8, Corpus(plan))
    assert_same(state, other)
    assert [(alarm.iter, alarm.action, alarm.sequences) for alarm in alarms(found)] == [
        (BAD_STEP, "skip", (FIRST_BAD, FIRST_BAD + BATCH - 1))
    ]
    assert [event.iter for event in found if isinstance(event, StepDone) and event.skipped] == [BAD_STEP]
    assert state.recent.passed == [[FIRST_BAD, FIRST_BAD + BATCH - 1]]


def test_after_a_rollback_the_run_is_one_whose_corpus_never_had_the_batch(settled: TrainState) -> None:
    plan = policy_plan(on_spike="rollback")
    state, other = copy.deepcopy(settled), copy.deepcopy(settled)
    corpus = Noisy(plan)
    found = list(events(plan, state, corpus))
    by_hand(plan, other, 5, Corpus(plan))
    other.sequences += BATCH
    by_hand(plan, other, 9, Corpus(plan))
    assert_same(state, other)
    assert (state.iter, state.sequences) == (N_SETTLED + 14, (N_SETTLED + 15) * BATCH)
    assert corpus.taken.count(FIRST_BAD) == 1
    assert [(alarm.iter, alarm.action) for alarm in alarms(found)] == [(BAD_STEP, "rollback")]
    at = found.index(alarms(found)[0])
    assert isinstance(found[at + 1], RunStarted)  # readers of metrics.jsonl forget the steps after it
    told = [event.iter for event in found if isinstance(event, RunStarted | StepDone)]
    first, again = N_SETTLED, N_SETTLED + 4  # 204 was the newest checkpoint
    assert told == [*range(first, BAD_STEP + 1), again, *range(again + 1, N_SETTLED + 15)]


@pytest.mark.parametrize("policy", ["warn", "skip", "rollback"])
@pytest.mark.parametrize("killed_at", [2, BAD_STEP - N_SETTLED, BAD_STEP - N_SETTLED + 1, 12])
def test_a_killed_and_resumed_run_ends_in_the_same_weights(
    policy: str, killed_at: int, settled: TrainState, tmp_path: Path
) -> None:
    plan = policy_plan(on_spike=policy)
    straight, killed = copy.deepcopy(settled), copy.deepcopy(settled)
    list(events(plan, straight, Noisy(plan)))
    checkpoint.save(tmp_path, killed, {})
    steps = 0
    for event in events(plan, killed, Noisy(plan)):
        steps += isinstance(event, StepDone)
        if isinstance(event, CheckpointDue):
            checkpoint.save(tmp_path, killed, {})
        if steps == killed_at:
            break
    resumed = new_state(plan)
    checkpoint.resume(tmp_path, resumed, {})
    assert resumed.iter < N_SETTLED + 14
    list(events(plan, resumed, Noisy(plan)))
    assert_same(resumed, straight)
    assert resumed.recent == straight.recent and resumed.sequences == straight.sequences


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_what_does_not_help_ends_the_run_in_one_line(policy: str, settled: TrainState) -> None:
    plan = policy_plan(on_spike=policy, max_iters=N_SETTLED + 40)
    with pytest.raises(GptmillError) as error:
        list(events(plan, copy.deepcopy(settled), Noisy(plan, last=10**9)))
    assert len(error.value.problems) == 1
    words = {"skip": "the 10 batches before it were skipped too", "rollback": "went back 3 times to the same place"}
    assert words[policy] in error.value.problems[0]


def test_on_spike_stop_ends_before_the_update(settled: TrainState) -> None:
    plan, state = policy_plan(on_spike="stop"), copy.deepcopy(settled)
    other = copy.deepcopy(settled)
    with pytest.raises(GptmillError, match=f"step {BAD_STEP}: loss .* robust deviations above .*sequences {FIRST_BAD}"):
        list(events(plan, state, Noisy(plan)))
    by_hand(plan, other, 5, Corpus(plan))
    assert_same(state, other)


def test_a_rollback_heals_weights_that_are_no_numbers(settled: TrainState) -> None:
    plan = policy_plan(on_nonfinite="rollback")
    state, other = copy.deepcopy(settled), copy.deepcopy(settled)
    found: list[Event] = []
    for event in events(plan, state, Corpus(plan)):
        found.append(event)
        if isinstance(event, StepDone) and event.iter == BAD_STEP - 1 and not alarms(found):
            with torch.no_grad():
                state.model.wte.weight[3, 4] = torch.nan
    assert [(alarm.kind, alarm.layer, alarm.action) for alarm in alarms(found)] == [
        ("nonfinite", "wte.weight", "rollback")
    ]
    by_hand(plan, other, 5, Corpus(plan))
    other.sequences += BATCH
    by_hand(plan, other, 9, Corpus(plan))
    assert_same(state, other)


def test_a_state_that_is_no_number_is_never_one_to_go_back_to(settled: TrainState) -> None:
    plan = policy_plan(on_nonfinite="rollback", snapshot_interval=1)
    state, planted = copy.deepcopy(settled), False
    for event in events(plan, state, Corpus(plan)):
        if isinstance(event, StepDone) and event.iter == BAD_STEP and not planted:  # just before it is kept
            planted = True
            with torch.no_grad():
                state.model.wte.weight[3, 4] = torch.nan
    assert planted and state.iter == plan.max_iters
    assert all(weight.isfinite().all() for weight in state.model.parameters())


def test_a_checkpoint_from_before_the_guards_had_a_memory_is_read(settled: TrainState, tmp_path: Path) -> None:
    state = copy.deepcopy(settled)
    old = json.loads(json.dumps(numbers_of(state)))
    del old["recent"]
    restore_numbers(tmp_path, state, old)
    assert state.recent.losses == [] and state.iter == N_SETTLED
