"""gptmill sweep: a file of W&B's, from the command line to the ranking."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gptmill.parallel.launch import environment_of_run
from gptmill.track.jsonl import read_events
from gptmill.track.lock import lock_folder
from tests.cli.run import SMALL, gptmill, prepare_tiny

SWEEP = """\
program: train.py
method: grid
metric: {name: val/loss, goal: minimize}
parameters:
  learning_rate:
    values: [1e-3, 3e-2]
  num_epochs:
    value: 7
  n_layer:
    value: 1
"""
FLAGS = [word for word in SMALL if not word.startswith(("--learning_rate", "--n_layer"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep")
    prepare_tiny(path)
    (path / "lambda.yaml").write_text(SWEEP)
    return path


def test_a_sweep_trains_each_setting_once_and_its_best_line_trains_the_same_weights(folder: Path) -> None:
    first = gptmill(folder, "sweep", "lambda.yaml", *FLAGS, "--json").json()
    assert [run["id"] for run in first["runs"]] == ["learning_rate=3e-2", "learning_rate=1e-3"]
    assert [run["state"] for run in first["runs"]] == ["finished"] * 2
    assert first["runs"][0]["value"] < first["runs"][1]["value"]
    assert (folder / "out-lambda" / "compare.html").exists()
    again = gptmill(folder, "sweep", "lambda.yaml", *FLAGS)
    assert again.code == 0 and "best: learning_rate=3e-2" in again.out, again.err
    events = [event["event"] for event in read_events(folder / "out-lambda" / "learning_rate=3e-2")]
    assert events.count("run_started") == events.count("run_done") == 1
    words = first["best_command"].split()[1:]
    alone = gptmill(folder, *words, "--out_dir=alone", "--json").json()
    assert alone["weights_sha256"] == first["runs"][0]["summary"]["weights_sha256"]


def test_a_folder_that_another_process_has_or_that_holds_something_else_is_refused(folder: Path) -> None:
    fd, _ = lock_folder(folder / "held")
    done = gptmill(folder, "sweep", "lambda.yaml", *FLAGS, "--out_dir=held")
    os.close(fd)
    assert done.code == 75 and f"in use by pid {os.getpid()}" in done.err.splitlines()[-1]
    (folder / "other").mkdir()
    (folder / "other" / "study.json").write_text('{"format": "gptmill-study", "kind": "ablation", "runs": []}')
    done = gptmill(folder, "sweep", "lambda.yaml", *FLAGS, "--out_dir=other")
    assert done.code == 2 and "another kind (ablation)" in done.err
    done = gptmill(folder, "sweep", "lambda.yaml", *FLAGS, "--dataset=none")
    assert done.code == 3 and done.err.count("\n") == 1


def test_all_settings_are_checked_with_their_lines_before_any_run(folder: Path) -> None:
    (folder / "bad.yaml").write_text(SWEEP.replace("[1e-3, 3e-2]", "[1e-3, -1, fast]").replace("n_layer", "n_layrs"))
    done = gptmill(folder, "sweep", "bad.yaml", *FLAGS, "--out_dir=bad")
    lines = done.err.splitlines()
    assert done.code == 2 and len(lines) == 3 and all("bad.yaml:" in line for line in lines), done.err
    assert not (folder / "bad").exists()
    (folder / "many.yaml").write_text(SWEEP.replace("grid", "random"))
    assert "add --count=N" in gptmill(folder, "sweep", "many.yaml").err
    words = ["sweep", "many.yaml", *FLAGS, "--count=3", "--dry_run"]
    assert "3 runs" in gptmill(folder, *words).out and not (folder / "out-many").exists()
    for flag, says in [
        ("--learning_rate=1", "is swept by"),
        ("--out_dir=x --init_from=scratch", "every run of a study"),
    ]:
        done = gptmill(folder, "sweep", "lambda.yaml", *flag.split())
        assert done.code == 2 and says in done.err, done.err


def test_each_place_has_its_gpu_or_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    gpus = [environment_of_run(Path("b"), place, 3, ["GPU-a", "GPU-b"])["CUDA_VISIBLE_DEVICES"] for place in range(3)]
    assert gpus == ["GPU-a", "GPU-b", "GPU-a"]
    assert environment_of_run(Path("b"), 0, 3, [])["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in environment_of_run(Path("b"), 0, 1, [])
