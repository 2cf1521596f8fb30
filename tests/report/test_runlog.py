from __future__ import annotations

from gptmill.events import CheckpointSaved, EvalDone, Event, Notice, RunDone, RunStarted, StepDone
from gptmill.report.runlog import read_run
from gptmill.track.jsonl import METRICS, JsonlRecorder


def step(iter: int, loss: float) -> StepDone:
    return StepDone(iter, loss=loss, lr=1e-3, grad_norm=0.7, tokens=100, seconds=0.5)


def write(run, *events: Event) -> None:
    recorder = JsonlRecorder(run, lambda: {"iters": 2})
    for event in events:
        recorder(event)
    recorder.close()


def test_a_folder_without_metrics_is_an_empty_log(tmp_path):
    log = read_run(tmp_path)
    assert (log.max_iters, log.steps, log.evals, log.summary) == (None, {}, {}, None)


def test_the_last_value_of_a_step_counts_and_steps_past_the_restored_one_do_not(tmp_path):
    write(tmp_path, RunStarted(0, 9, 100), step(1, 5.0), step(2, 4.0), step(3, 3.0), EvalDone(3, 3.0, 3.1, True, 0.1))
    write(tmp_path, RunStarted(1, 9, 100), step(2, 4.5))
    log = read_run(tmp_path)
    assert {iter: fields["loss"] for iter, fields in log.steps.items()} == {1: 5.0, 2: 4.5}
    assert log.evals == {}
    assert log.max_iters == 9
    assert log.summary is None


def test_a_completed_run_has_its_summary_until_it_is_taken_further(tmp_path):
    saved = CheckpointSaved(2, "checkpoints/step_00000002", "end", False, 0.1, 10)
    write(tmp_path, RunStarted(0, 2, 100), step(1, 5.0), step(2, 4.0), Notice(2, "a word"), saved, RunDone(2, None))
    log = read_run(tmp_path)
    assert log.summary == {"iters": 2}
    assert [fields["path"] for fields in log.checkpoints] == ["checkpoints/step_00000002"]
    assert log.notices == ["a word"]
    write(tmp_path, RunStarted(2, 4, 100))
    assert read_run(tmp_path).summary is None


def test_damaged_lines_are_passed_over(tmp_path):
    write(tmp_path, RunStarted(0, 2, 100), step(1, 5.0))
    with open(tmp_path / METRICS, "ab") as file:
        file.write(b'\x00\xff\n{\n{"event": "step_done"}\n{"event": "step_done", "iter": 2, "lo')
    assert list(read_run(tmp_path).steps) == [1]
