from __future__ import annotations

import json
import math
import os
import time

import pytest

from gptmill.events import CheckpointDue, EvalDone, Event, Notice, RunDone, RunStarted, StepDone
from gptmill.track.jsonl import METRICS, JsonlRecorder, finished, read_events
from gptmill.track.summary import Summary


def step(iter: int, loss: float = 2.0, seconds: float = 0.5) -> StepDone:
    return StepDone(iter, loss=loss, lr=1e-3, grad_norm=0.7, tokens=100, seconds=seconds)


def write(run, *events: Event) -> list[Event]:
    recorder = JsonlRecorder(run, lambda: {"iters": 1, "mfu": math.nan})
    said = [extra for event in events for extra in recorder(event)]
    recorder.close()
    return said


def lines(run) -> list[dict]:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in (run / METRICS).read_text().splitlines()]


def test_a_step_line_has_the_names_of_the_contract(tmp_path):
    write(tmp_path, step(1))
    (line,) = lines(tmp_path)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "event": "step_done",
        "iter": 1,
        "loss": 2.0,
        "lr": 1e-3,
        "grad_norm": 0.7,
        "tokens": 100,
        "tokens_per_second": 200.0,
        "time_ms": 500.0,
        "skipped": False,
        "times_ms": {},
    }


def test_every_event_is_named_and_numbers_that_json_lacks_are_null(tmp_path):
    write(
        tmp_path, RunStarted(0, 9, 100), step(1, loss=math.nan), EvalDone(1, math.inf, 3.0, True, 0.1), RunDone(1, None)
    )
    assert [line["event"] for line in lines(tmp_path)] == ["run_started", "step_done", "eval_done", "run_done"]
    assert lines(tmp_path)[1]["loss"] is None
    assert lines(tmp_path)[2]["train_loss"] is None
    assert lines(tmp_path)[3]["summary"] == {"iters": 1, "mfu": None}


def test_a_request_is_not_a_record(tmp_path):
    write(tmp_path, CheckpointDue(3, "eval"))
    assert lines(tmp_path) == []


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_torn_by_a_crash_is_skipped_and_repaired_by_the_next_writer(tmp_path, cut):
    write(tmp_path, step(1), step(2))
    path = tmp_path / METRICS
    os.truncate(path, path.stat().st_size - cut)
    assert [line["iter"] for line in read_events(tmp_path)] == [1]
    write(tmp_path, step(2), step(3))
    assert [line["iter"] for line in lines(tmp_path)] == [1, 2, 3]


def test_a_terabyte_of_holes_after_the_last_record_is_cut_off_at_once(tmp_path):
    path, good = tmp_path / "metrics.jsonl", b'{"event": "step_done", "iter": 1}\n' * 3
    path.write_bytes(good)
    os.truncate(path, 2**40)
    began = time.process_time()
    JsonlRecorder(tmp_path, dict).close()
    assert time.process_time() - began < 1.0 and path.read_bytes() == good


def test_a_file_that_is_one_torn_line_becomes_empty(tmp_path):
    (tmp_path / METRICS).write_bytes(b'{"event": "step' + b"x" * 9000)
    write(tmp_path, step(1))
    assert [line["iter"] for line in lines(tmp_path)] == [1]


def test_garbage_in_the_middle_is_skipped(tmp_path):
    write(tmp_path, step(1))
    with open(tmp_path / METRICS, "ab") as file:
        file.write(
            b'\xff\xfe\n{"event": 3, "iter": 1}\n[]\n{"event": "step_done", "iter": "x"}\n' + b"[" * 99999 + b"\n\n"
        )
    write(tmp_path, step(2))
    assert [line["iter"] for line in read_events(tmp_path)] == [1, 2]


def test_a_full_disk_is_said_once_and_the_lines_after_it_are_whole(tmp_path, monkeypatch):
    recorder = JsonlRecorder(tmp_path, dict)
    recorder(step(1))
    real = os.write

    def full(fd, data):
        real(fd, bytes(data)[:9])
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)
    (notice,) = recorder(step(2))
    assert isinstance(notice, Notice)
    assert "No space left" in notice.says
    assert list(recorder(step(3))) == []
    monkeypatch.undo()
    recorder(step(4))
    recorder.close()
    assert [line["iter"] for line in lines(tmp_path)] == [1, 4]


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / METRICS).symlink_to(victim)
    with pytest.raises(OSError):
        JsonlRecorder(tmp_path, dict)
    assert victim.read_text() == "precious"


def test_finished_is_the_last_run_done(tmp_path):
    assert finished(tmp_path) is None
    write(tmp_path, step(1), RunDone(1, 1.0), RunStarted(1, 2, 100), step(2), RunDone(2, 0.9))
    assert finished(tmp_path)["iter"] == 2


def summary(run) -> Summary:
    return Summary(
        run, params=7, flops_per_token=42, unigram_entropy=3.0, weights_sha256=lambda: "ab", peak_memory=lambda: 5
    )


def test_the_summary_adds_up_over_restarts_what_counted(tmp_path):
    first = [RunStarted(0, 6, 100), step(1, seconds=9.0), *(step(i, seconds=0.5) for i in (2, 3, 4, 5))]
    write(tmp_path, *first)  # killed after step 5; the checkpoint was at 4
    second = summary(tmp_path)
    for event in [RunStarted(4, 6, 100), step(5, seconds=8.0), step(6, loss=1.25, seconds=0.25)]:
        second(event)
    second(EvalDone(6, 1.0, math.log(8), True, 0.1))
    found = second.result()
    # 1 and 5 are the first of their process (they may compile) and count as the median of 0.5, 0.5, 0.5, 0.25
    assert found["seconds"] == pytest.approx(0.5 + 3 * 0.5 + 0.5 + 0.25)
    assert found["tokens_per_second"] == pytest.approx(200.0)
    assert (found["iters"], found["tokens"]) == (6, 600)
    assert found["final_train_loss"] == 1.25
    assert found["perplexity"] == pytest.approx(8.0)
    assert (found["params"], found["flops_per_token"], found["weights_sha256"], found["peak_memory"]) == (
        7,
        42,
        "ab",
        5,
    )
    assert found["mfu"] is None


def test_a_restart_changes_no_sum_of_tokens_whatever_was_redone(tmp_path):
    write(tmp_path, RunStarted(0, 4, 100), step(1), step(2), step(3))
    whole = summary(tmp_path)
    for event in [RunStarted(2, 4, 100), step(3), step(4)]:
        whole(event)
    assert whole.result()["tokens"] == 400


def test_a_run_without_steps_has_a_summary(tmp_path):
    found = summary(tmp_path).result()
    assert found["tokens_per_second"] is None
    assert found["final_train_loss"] is None
    assert found["best_val_loss"] is None
    assert (found["seconds"], found["tokens"], found["iters"]) == (0, 0, 0)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("damage", [{"iter": 10**15}, {"loss": None}, {"time_ms": "x"}, {"tokens": None}, {"iter": -3}])
def test_a_damaged_record_neither_stops_nor_bloats_the_summary(tmp_path, damage):
    write(tmp_path, RunStarted(0, 4, 100), step(1), step(2))
    good = lines(tmp_path)
    (tmp_path / METRICS).write_text(
        "".join(json.dumps(line) + "\n" for line in [*good, {**good[-1], "iter": 3, **damage}])
    )
    found = summary(tmp_path)
    found(step(4))
    assert found.result()["iters"] == 4
    json.dumps(found.result(), allow_nan=False)
