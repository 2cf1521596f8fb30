"""What a process tells about itself, from the events of the loop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gptmill.config import schema
from gptmill.errors import Diverged
from gptmill.events import CheckpointDue, EvalDone, Event, RunDone, RunStarted, StepDone
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import make_plan
from gptmill.plan.types import Plan
from gptmill.supervise.heartbeat import LEAST, LEAST_COMPILED, LONG, Heartbeat, Phase, read_beat, supervisor_file


@pytest.fixture(autouse=True)
def supervisor(tmp_path: Path) -> None:
    supervisor_file(tmp_path).write_text(str(os.getppid()))


@pytest.fixture(scope="module")
def plan() -> Plan:
    made = make_plan(schema.Config(), data=None, machine=detect_machine("cpu"))
    return replace(made, eval_interval=2, max_iters=3, effective_batch_size=8, compile=False)


def step(iter: int, seconds: float) -> StepDone:
    return StepDone(iter, 1.0, 1.0, 1.0, 8, seconds)


def test_only_what_has_a_usual_time_is_expected_to_keep_to_it(plan: Plan, tmp_path: Path) -> None:
    state = SimpleNamespace(iter=0, sequences=0)
    seen: list[tuple[Phase, float]] = []

    def look() -> None:
        beat = read_beat(tmp_path, 1)
        assert beat and (beat.iter, beat.first, beat.last) == (state.iter, state.sequences, state.sequences + 7)
        assert 0 <= time.monotonic() - beat.began < 5 and beat.least == LEAST
        seen.append((Phase(beat.phase), beat.patience))

    def loop() -> Iterator[Event]:
        happens = [
            RunStarted(0, 3, 8), EvalDone(0, 1, 1, True, 4.0), step(1, 3.0), step(2, 1.0), EvalDone(2, 1, 1, True, 2.0),
            CheckpointDue(2, "eval"), step(3, 2.0), EvalDone(3, 1, 1, True, 2.0), CheckpointDue(3, "end"), RunDone(3, 1.0),
        ]  # fmt: skip
        for event in happens:
            state.iter, state.sequences = event.iter, 8 * event.iter
            yield event
            look()

    heartbeat = Heartbeat(tmp_path, 1, plan, state)
    look()
    for _ in heartbeat.over(loop()):
        beat = read_beat(tmp_path, 1)
        assert beat and (beat.phase, beat.patience) == (Phase.RECORDS, LONG)
    evaluates, steps = Phase.EVALUATION, Phase.STEP
    assert seen == [
        (Phase.START, LONG),
        (evaluates, LONG),  # the first
        (steps, LONG),  # the first, which may compile
        (steps, 30.0),
        (evaluates, 40.0),
        (steps, 20.0),
        (steps, 20.0),
        (evaluates, 40.0),
        (steps, 20.0),
        (steps, 20.0),
        (steps, 20.0),
    ]
    end = read_beat(tmp_path, 1)
    assert end and (end.phase, end.patience) == (Phase.END, LONG)


def test_a_compiled_step_may_be_compiled_again(plan: Plan, tmp_path: Path) -> None:
    Heartbeat(tmp_path, 0, replace(plan, compile=True), SimpleNamespace(iter=0, sequences=0))
    beat = read_beat(tmp_path, 0)
    assert beat and beat.least == LEAST_COMPILED


def test_an_end_by_decision_is_told_as_one(plan: Plan, tmp_path: Path) -> None:
    def loop() -> Iterator[Event]:
        yield RunStarted(0, 3, 8)
        raise Diverged("loss is nan")

    with pytest.raises(Diverged):
        list(Heartbeat(tmp_path, 0, plan, SimpleNamespace(iter=0, sequences=0)).over(loop()))
    beat = read_beat(tmp_path, 0)
    assert beat and beat.phase == Phase.DECIDED


def test_a_process_whose_supervisor_is_gone_asks_itself_once_to_end(plan: Plan, tmp_path: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        supervisor_file(tmp_path).write_text(str(os.getpid()))
        list(Heartbeat(tmp_path, 0, plan, SimpleNamespace(iter=0, sequences=0)).over(iter([step(1, 1.0)] * 3)))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_nobody_is_told_of_a_run_that_nobody_supervises(plan: Plan) -> None:
    events: list[Event] = [RunStarted(0, 3, 8), step(1, 1.0)]
    assert list(Heartbeat(None, 0, plan, SimpleNamespace(iter=0, sequences=0)).over(iter(events))) == events


def test_a_sign_of_life_costs_microseconds(plan: Plan, tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, 0, plan, SimpleNamespace(iter=0, sequences=0))
    events: list[Event] = [step(1, 1.0)] * 2000
    began = time.perf_counter()
    for _ in heartbeat.over(iter(events)):
        pass
    each = (time.perf_counter() - began) / len(events)
    sys.stdout.write(f"{each * 1e6:.1f} us\n")
    assert each < 1e-3
