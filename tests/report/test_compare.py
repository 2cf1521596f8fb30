from __future__ import annotations

import json
import os
import tracemalloc

import pytest

from gptmill.errors import UserError
from gptmill.events import EvalDone, RunStarted, StepDone
from gptmill.report.compare import compare
from gptmill.report.compare_page import compare_page
from gptmill.report.run_page import run_page
from gptmill.report.runjson import read_run_json
from gptmill.report.runlog import read_run
from gptmill.report.tables import Table, markdown, side_by_side, tables
from tests.report.example import write, write_json
from tests.report.test_page import HOSTILE, Page


def run(folder, evals, *, tokens=100, seconds=1.0, flops_per_token=None, config=None):
    """A run of 10 steps between evaluations, each step of so many tokens and seconds."""
    folder.mkdir()
    keys = {key: {"value": value, "origin": "default"} for key, value in (config or {}).items()}
    write_json(folder / "config.json", {"format": "gptmill-run", "keys": keys})
    write_json(folder / "plan.json", {"flops_per_token": flops_per_token})
    found = [RunStarted(0, 100, tokens), EvalDone(0, evals[0], evals[0], True, 0.1)]
    for n, loss in enumerate(evals[1:], 1):
        steps = range(10 * n - 9, 10 * n + 1)
        found += [StepDone(iter, loss=loss, lr=0.1, grad_norm=1.0, tokens=tokens, seconds=seconds) for iter in steps]
        found.append(EvalDone(10 * n, loss, loss, True, 0.1))
    write(folder, *found)
    return read_run(folder)


def test_losses_are_compared_where_both_had_spent_the_same_by_a_straight_line(tmp_path):
    slow = run(tmp_path / "slow", [5.0, 4.0, 3.0], tokens=100, seconds=2.0, flops_per_token=10)
    large = run(tmp_path / "large", [5.0, 3.0, 2.0], tokens=300, seconds=1.0, flops_per_token=20)
    equal = compare([slow, large])["equal"]
    assert equal["tokens"]["at"] == 2000  # all of slow's; large was there at 2/3 of its first 3000
    assert equal["tokens"]["val_loss"] == {slow.name: 3.0, large.name: pytest.approx(5 - 2 * 2 / 3)}
    assert equal["time"]["at"] == 20  # all of large's; slow was there at its first evaluation
    assert equal["time"]["val_loss"] == {slow.name: 4.0, large.name: 2.0}
    assert equal["flops"]["at"] == 20_000
    assert equal["flops"]["val_loss"] == {slow.name: 3.0, large.name: pytest.approx(5 - 2 * 1 / 3)}


def test_what_is_not_known_is_null_with_its_reason_and_spoils_nothing_else(tmp_path):
    known = run(tmp_path / "known", [5.0, 4.0, 3.0], flops_per_token=10)
    bare = run(tmp_path / "bare", [5.0, 4.5])
    begun = run(tmp_path / "begun", [5.0], flops_per_token=10)
    equal = compare([known, bare, begun])["equal"]
    assert equal["tokens"]["at"] == 1000
    assert equal["tokens"]["val_loss"] == {known.name: 4.0, bare.name: 4.5, begun.name: None}
    assert equal["flops"]["val_loss"] == {known.name: 3.0, bare.name: None, begun.name: None}
    assert equal["flops"]["why"][bare.name] == "its log does not tell FLOP per token"
    assert set(equal["tokens"]["why"]) == {begun.name}


def test_runs_are_ranked_by_their_best_loss_and_one_without_comes_last(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    logs = [read_run(empty), run(tmp_path / "worse", [5.0, 4.0, 4.2]), run(tmp_path / "better", [5.0, 3.0, 3.5])]
    runs = compare(logs)["runs"]
    assert [(row["run"].rpartition("/")[2], row["rank"], row["best_val_loss"], row["best_iter"]) for row in runs] == [
        ("better", 1, 3.0, 10), ("worse", 2, 4.0, 10), ("empty", None, None, None),
    ]  # fmt: skip
    assert runs[0]["percent_below_worst"] == 25.0
    json.dumps(compare(logs), allow_nan=False)


def test_only_what_differs_is_listed_and_names_of_runs_are_no_difference(tmp_path):
    a = run(tmp_path / "a", [5.0], config={"n_layer": 2, "lr": 0.1, "out_dir": "a", "only_here": 1, "preset": "gpt2"})
    b = run(tmp_path / "b", [4.0], config={"n_layer": 3, "lr": 0.1, "out_dir": "b", "preset": "llama"})
    found = compare([a, b])
    assert found["differences"] == {
        "n_layer": {a.name: 2, b.name: 3}, "preset": {a.name: "gpt2", b.name: "llama"}
    }  # fmt: skip
    assert found["presets"] == {"gpt2": {"runs": 1, "best_val_loss": 5.0}, "llama": {"runs": 1, "best_val_loss": 4.0}}


def test_different_datasets_draw_a_warning(tmp_path):
    a, b = (run(tmp_path / name, [5.0], config={"dataset": name}) for name in ("tiny", "wikitext"))
    found = compare([a, b])
    assert "different datasets (tiny, wikitext)" in found["warnings"][0]
    assert "different datasets" in markdown(tables(found))


def test_losses_per_token_of_different_tokenizers_are_not_compared(tmp_path):
    logs = [run(tmp_path / name, [5.0, loss], config={"dataset": "tiny"}) for name, loss in (("a", 3.0), ("b", 4.0))]
    assert compare(logs)["comparable"] and compare(logs)["runs"][1]["percent_below_worst"] == 0.0
    for log, characters in zip(logs, ("abc", "abd")):
        folder = tmp_path / log.name / "tokenizer"
        folder.mkdir()
        write_json(folder / "tokenizer.json", {"kind": "char", "name": "char", "characters": characters})
    logs = [read_run(tmp_path / name) for name in ("a", "b")]
    found = compare(logs)
    assert not found["comparable"] and {row["percent_below_worst"] for row in found["runs"]} == {None}
    assert "loss per token cannot be compared; bits per byte" in markdown(tables(found))
    assert b"Not comparable" in compare_page(logs, found)


def test_what_twenty_runs_set_differently_is_told_in_columns_wide_enough_to_read():
    names = [f"out-{n:02d}" for n in range(20)]
    whole = Table("Different", ["key", *names], [["lr", *(f"{n}e-4" for n in range(20))], ["seed", *names]], 21)
    parts = side_by_side(whole, 80)
    assert all(part.left == len(part.header) <= 6 and part.header[0] == "key" for part in parts)
    assert [name for part in parts for name in part.header[1:]] == names
    assert [cell for part in parts for cell in part.rows[0][1:]] == whole.rows[0][1:]
    few = Table("Different", ["key", *names[:3]], [], 4)
    assert side_by_side(few, 80) == [few]


def test_damaged_lines_are_counted_once_and_a_line_being_written_is_none(tmp_path):
    run(tmp_path / "a", [5.0, 4.0])
    metrics = tmp_path / "a" / "metrics.jsonl"
    lines = metrics.read_bytes().splitlines(keepends=True)
    metrics.write_bytes(
        b"".join([*lines[:5], b"\x00\xff{\n", b'{"event": "step_done"}\n', *lines[5:], b'{"event": "st'])
    )
    log = read_run(tmp_path / "a")
    assert log.unreadable == 2 and log.steps.last_iter == 10
    (warning,) = compare([log])["warnings"]
    assert warning.endswith("2 lines of metrics.jsonl could not be read; what they told is missing here")
    assert compare([log])["comparable"]
    assert run_page(log).count(b"2 lines of metrics.jsonl could not be read") == 1


def test_a_terabyte_of_holes_is_refused_without_being_read(tmp_path):
    (tmp_path / "run_1.json").touch()
    os.truncate(tmp_path / "run_1.json", 2**40)
    tracemalloc.start()
    with pytest.raises(UserError, match="too large"):
        read_run_json(tmp_path / "run_1.json")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def theirs():
    """A log as the enhanced trainers write it: iterations from 0, every tenth; a number for MFU while warming up."""
    mfu = {"mfu": 0.3, "tokens_per_sec": 480.0, "flops_per_token": 1000.0, "architecture": "2L-2H-16D"}
    return {
        "run_name": "run_1", "config": {"batch_size": 2, "gradient_accumulation_steps": 3, "block_size": 8, "arch_preset": "gpt2"},
        "startup_info": {"model": {"total_params": 12345}, "hardware": {"gpu_name": "A100"}},
        "training_iterations": [
            {"iter": 10 * n, "loss": 4.0 - n, "time_ms": 100.0, "mfu": mfu if n else -100.0, "memory": {"max_allocated_gb": 1.5}}
            for n in range(3)
        ],
        "eval_steps": [{"iter": 0, "train_loss": 5.0, "val_loss": 5.1, "lr": 0.1}, {"iter": 20, "train_loss": 2.0, "val_loss": 2.5}],
    }  # fmt: skip


def test_a_log_of_the_enhanced_trainers_is_read_with_every_step_between_its_lines(tmp_path):
    write_json(tmp_path / "run_1.json", theirs())
    row = compare([read_run_json(tmp_path / "run_1.json")])["runs"][0]
    assert (row["best_val_loss"], row["best_iter"], row["params"], row["architecture"]) == (2.5, 20, 12345, "2L-2H-16D")
    assert (row["iters"], row["tokens"], row["seconds"]) == (21, 21 * 48, pytest.approx(2.1))
    assert (row["mfu"], row["peak_memory_gb"], row["tokens_per_second"]) == (0.3, 1.5, 480.0)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_names_and_values_stay_text_in_page_and_markdown(tmp_path, text):
    a = run(tmp_path / "a", [5.0, 4.0], config={"dataset": text, "n_layer": 1})
    b = run(tmp_path / "b", [5.0, 3.0], config={"dataset": "x", "n_layer": 2})
    plain = Page(compare_page([a, b], compare([a, b])))
    a.name = text
    page = Page(compare_page([a, b], compare([a, b])))
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
    assert len(page.scripts()) == 3 and json.loads(page.scripts()[0])
    drawn = markdown(tables(compare([a, b]))).splitlines()
    rows = [line for line in drawn if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} <= {9, 5, 4}
    assert not [line for line in rows if "<" in line.replace("\\<", "")]
