"""The folded log against a plain reading of metrics.jsonl."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gptmill.events import CheckpointSaved, EvalDone, Event, RunDone, RunStarted, StepDone, Stopped
from gptmill.track import folded
from gptmill.track.folded import FoldedLog
from gptmill.track.jsonl import JsonlRecorder, parse_line
from gptmill.track.thinned import Thinned

ABOUT = {"config": {"n_layer": 2}, "startup_info": {"hardware": {}}, "metadata": {"world_size": 1}}
MFU = {"mfu": 0.31, "mfu_percent": 31.0}
GRADIENTS = {"global_norm": 1.5, "grad_mean": 0.1, "layers": {"wte": 1.0}}


def step(iter: int, loss: float = 2.0) -> StepDone:
    return StepDone(iter, loss, 1e-3, 1.5, 100, iter / 10, memory={"host_gb": 1.0}, gradients=GRADIENTS, mfu=MFU)


def process(run_dir: Path, events: list[Event], log_interval: int = 2, save_interval: int = 4) -> list[Event]:
    """What the recorders of one process say; as in a run, they are closed at its end, the last one first."""
    diary = JsonlRecorder(run_dir, dict)
    log = FoldedLog(run_dir, log_interval=log_interval, save_interval=save_interval, about=ABOUT)
    said = [answer for event in events for recorder in (diary, log) for answer in recorder(event)]
    log.close()
    diary.close()
    return said


def only_log(run_dir: Path) -> dict[str, Any]:
    (path,) = run_dir.glob("run_*.json")
    found: dict[str, Any] = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert found["run_name"] == path.stem
    return found


FIRST: list[Event] = [
    RunStarted(0, 20, 100), EvalDone(0, 7.0, 7.1, True, 0.1), *map(step, range(1, 7)), EvalDone(6, 3.0, 3.1, True, 0.1),
    CheckpointSaved(6, "checkpoints/step_6", "eval", True, 0.1, 9), *map(step, range(7, 10)),
    EvalDone(9, 2.0, 2.1, True, 0.1), Stopped(9, 15),
]  # fmt: skip
SECOND: list[Event] = [
    RunStarted(6, 20, 100), *map(step, range(7, 20)), step(20, 1.25), EvalDone(20, 2.5, 2.6, True, 0.1),
    CheckpointSaved(20, "checkpoints/step_20", "end", False, 0.1, 9), RunDone(20, 2.6),
]  # fmt: skip


def test_the_file_has_every_documented_field(tmp_path: Path) -> None:
    process(tmp_path, FIRST)
    found = only_log(tmp_path)
    assert list(found) == [
        "run_name", "start_time", "config", "startup_info", "training_iterations", "eval_steps", "checkpoints",
        "metadata", "end_time", "summary",
    ]  # fmt: skip
    assert {"iter", "loss", "time_ms", "mfu", "memory", "gradients"} <= found["training_iterations"][0].keys()
    assert "layers" not in found["training_iterations"][0]["gradients"]
    assert {"iter", "train_loss", "val_loss", "timestamp", "lr"} <= found["eval_steps"][0].keys()
    assert {"iter", "val_loss", "path", "timestamp"} == found["checkpoints"][0].keys()
    assert set(found["summary"]) == {
        "total_iterations", "final_iter", "final_train_loss", "best_val_loss", "avg_time_ms", "avg_mfu",
        "total_eval_steps", "total_checkpoints",
    }  # fmt: skip
    assert found["start_time"][:19].replace("-", "").replace(":", "").replace("T", "_") == found["run_name"][4:]


def test_a_resumed_run_goes_on_in_the_same_file_and_lists_no_step_twice(tmp_path: Path) -> None:
    process(tmp_path, FIRST)
    process(tmp_path, SECOND)
    found = only_log(tmp_path)
    assert [entry["iter"] for entry in found["training_iterations"]] == list(range(2, 21, 2))
    assert [(entry["iter"], entry["val_loss"]) for entry in found["eval_steps"]] == [(0, 7.1), (6, 3.1), (20, 2.6)]
    assert [(entry["iter"], entry["val_loss"]) for entry in found["checkpoints"]] == [(6, 3.1), (20, 2.6)]
    # by hand: listed and not among the first five of a process: 6, then 12, 14, ... 20, each taking iter / 10 seconds
    assert found["summary"] == {
        "total_iterations": 20, "final_iter": 20, "final_train_loss": 1.25, "best_val_loss": 2.6,
        "avg_time_ms": pytest.approx((6 + 12 + 14 + 16 + 18 + 20) / 6 * 100), "avg_mfu": pytest.approx(0.31),
        "total_eval_steps": 3, "total_checkpoints": 2,
    }  # fmt: skip


def test_folding_often_reads_each_line_once_and_ends_in_the_same_text(tmp_path: Path, monkeypatch: Any) -> None:
    seldom, often = tmp_path / "seldom", tmp_path / "often"
    read: list[bytes] = []

    def counted(line: bytes) -> dict[str, Any] | None:
        read.append(line)
        return parse_line(line)

    monkeypatch.setattr(folded, "parse_line", counted)
    for folder, interval in ((seldom, 1000), (often, 1)):
        folder.mkdir()
        process(folder, FIRST[:-1], save_interval=interval)
    lines = (often / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert read[len(read) // 2 :] == lines

    def untimed(found: dict[str, Any]) -> str:
        return json.dumps(found).replace(found["run_name"], "").translate(str.maketrans("", "", "0123456789"))

    assert untimed(only_log(seldom)) == untimed(only_log(often))


def test_a_run_that_fails_is_folded_to_its_last_line_and_has_no_end(tmp_path: Path) -> None:
    process(tmp_path, FIRST[:6], save_interval=1000)
    found = only_log(tmp_path)
    assert found["summary"]["final_iter"] == 4 and found["end_time"] is None


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    process(tmp_path, [RunStarted(0, 4, 100), *(step(iter, float("nan")) for iter in range(1, 5))])
    found = only_log(tmp_path)
    assert found["training_iterations"][0]["loss"] is None and found["summary"]["final_train_loss"] is None


def test_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    process(tmp_path, FIRST)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write(
            '{"event": "eval_done", "iter": 10, "val_loss": NaN}\n{"event": "step_done", "iter": 12, "mfu": 3}\n?\n'
        )
    process(tmp_path, [RunStarted(12, 20, 100), *map(step, range(13, 21)), RunDone(20, 2.0)])
    assert only_log(tmp_path)["summary"]["best_val_loss"] == 2.1


def test_a_terabyte_of_holes_in_the_diary_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "metrics.jsonl", "wb") as file:
        file.truncate(2**40)
    began = time.process_time()
    FoldedLog(tmp_path, log_interval=2, save_interval=4, about=ABOUT).close()
    assert time.process_time() - began < 1.0 and not list(tmp_path.glob("run_*"))


def test_a_full_disk_is_said_once_and_the_file_comes_when_there_is_room(tmp_path: Path, monkeypatch: Any) -> None:
    def no_room(path: Path, data: bytes, *, sync: bool) -> None:
        raise OSError(28, "No space left on device")

    room = folded.replace
    monkeypatch.setattr(folded, "replace", no_room)
    said = process(tmp_path, [RunStarted(0, 20, 100), *map(step, range(1, 13))])
    assert [str(event.says).endswith("it is written when it can be") for event in said] == [True]  # type: ignore[attr-defined]
    monkeypatch.setattr(folded, "replace", room)
    process(tmp_path, [RunStarted(12, 20, 100), *map(step, range(13, 17))])
    assert only_log(tmp_path)["summary"]["final_iter"] == 16


@pytest.mark.parametrize("n_entries", [1, 99, 100, 101, 5000])
def test_a_thinned_list_is_short_even_and_knows_how_many_there_were(n_entries: int) -> None:
    listed = Thinned(limit=100)
    for iter in range(10, 10 * n_entries + 1, 10):
        listed.add(iter, {"iter": iter})
    kept = [entry.iter for entry in listed.entries]
    assert len(kept) <= 100 and (len(kept) > 49 or n_entries < 50)
    assert kept[0] == 10 and {b - a for a, b in itertools.pairwise(kept)} <= {10 * listed.stride}
    assert listed.total == n_entries
    listed.forget_after(10 * (n_entries // 2))
    assert listed.total == n_entries // 2 and all(entry.iter <= 10 * (n_entries // 2) for entry in listed.entries)
