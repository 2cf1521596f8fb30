"""The run as a sequence of events: what is promised about steps, evaluations, stopping and going on."""

from __future__ import annotations

import pytest
import torch

from gptmill.errors import GptmillError
from gptmill.events import CheckpointDue, EvalDone, RunDone, StepDone, Stopped
from tests.train.small import Corpus, Never, events, new_state, small_plan


def of(kind: type, found: list) -> list:  # type: ignore[type-arg]
    return [event for event in found if isinstance(event, kind)]


def test_a_run_takes_exactly_max_iters_steps_and_learns() -> None:
    plan = small_plan(max_iters=40, eval_interval=15)
    found = list(events(plan, new_state(plan)))
    assert [event.iter for event in of(StepDone, found)] == list(range(1, 41))
    assert [event.iter for event in of(EvalDone, found)] == [0, 15, 30, 40]
    assert isinstance(found[-1], RunDone)
    first, last = of(EvalDone, found)[0], of(EvalDone, found)[-1]
    assert last.val_loss < first.val_loss - 1 and last.best


def test_each_sequence_is_read_once_in_order_whatever_the_split() -> None:
    for batch, accumulate in ((12, 1), (3, 4), (1, 12)):
        plan = small_plan(batch_size=batch, gradient_accumulation_steps=accumulate, max_iters=3)
        corpus = Corpus(plan)
        list(events(plan, new_state(plan), corpus))
        assert corpus.taken == list(range(36))


def test_evaluation_cannot_disturb_training() -> None:
    weights = []
    for interval in (1, 5, 100):
        plan = small_plan(eval_interval=interval, dropout=0.2)
        state = new_state(plan)
        list(events(plan, state))
        weights.append([p.detach() for p in state.model.parameters()])
    assert all(torch.equal(a, b) and torch.equal(b, c) for a, b, c in zip(*weights))


def test_checkpoints_are_due_when_the_plan_says() -> None:
    def due(**changes: object) -> list[tuple[int, str]]:
        plan = small_plan(**changes)
        return [(event.iter, event.reason) for event in of(CheckpointDue, list(events(plan, new_state(plan))))]

    assert due() == [(6, "eval"), (12, "end")]
    assert due(snapshot_interval=4) == [(4, "snapshot"), (6, "eval"), (8, "snapshot"), (12, "end")]
    assert due(learning_rate=0.0, always_save_checkpoint=False) == [(12, "end")]
    assert due(eval_interval=100, checkpoint_minutes=1e-9)[:2] == [(1, "time"), (2, "time")]


def test_a_stop_request_ends_the_run_after_the_step_in_hand_with_everything_saved() -> None:
    plan, stop = small_plan(), Never()
    state = new_state(plan)
    found = []
    for event in events(plan, state, stop=stop):
        found.append(event)
        if isinstance(event, StepDone) and event.iter == 5:
            stop.signal = 15
    assert found[-2:] == [CheckpointDue(5, "stop"), Stopped(5, 15)]
    assert state.iter == 5


def test_a_run_that_stopped_and_went_on_equals_one_that_did_not() -> None:
    plan = small_plan(dropout=0.2)
    straight = new_state(plan)
    straight_events = list(events(plan, straight))
    stop, state = Never(), new_state(plan)
    found = []
    for event in events(plan, state, stop=stop):
        found.append(event)
        if isinstance(event, StepDone) and event.iter == 6:  # an evaluation was due here
            stop.signal = 2
    found += list(events(plan, state))
    assert all(torch.equal(a, b) for a, b in zip(straight.model.parameters(), state.model.parameters()))
    losses = [[(e.iter, e.val_loss) for e in of(EvalDone, these)] for these in (straight_events, found)]
    assert losses[0] == losses[1]


def test_eval_only_measures_and_changes_nothing() -> None:
    plan = small_plan(eval_only=True)
    state, fresh = new_state(plan), new_state(plan)
    found = list(events(plan, state))
    assert len(of(EvalDone, found)) == 1 and not of(StepDone, found) and not of(CheckpointDue, found)
    assert all(torch.equal(a, b) for a, b in zip(state.model.parameters(), fresh.model.parameters()))


def test_a_validation_loss_that_is_no_number_ends_the_run() -> None:
    plan = small_plan(eval_interval=1)
    state = new_state(plan)
    with torch.no_grad():
        state.model.norm_f.weight[0] = float("nan")
    with pytest.raises(GptmillError, match="validation loss is nan"):
        list(events(plan, state))
    assert state.best_val_loss is None


def test_a_stop_request_ends_an_evaluation_and_it_is_done_after_resuming() -> None:
    plan, state = small_plan(), new_state(small_plan())

    class AfterOneBatch:
        asked = 0

        @property
        def signal(self) -> int | None:
            self.asked += 1
            return 2 if self.asked > 3 else None

    found = list(events(plan, state, stop=AfterOneBatch()))
    assert found[1:] == [Stopped(0, 2)]
    assert of(EvalDone, list(events(plan, state)))[0].iter == 0
