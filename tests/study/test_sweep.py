"""gptmill sweep: a file of W&B's, from the command line to the ranking."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptmill.track.jsonl import read_events
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
