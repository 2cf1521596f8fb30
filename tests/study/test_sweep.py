"""gptmill sweep: a file of W&B's, from the command line to the ranking."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gptmill.cli.main import run
from gptmill.errors import UserError
from gptmill.parallel.launch import environment_of_run
from gptmill.study.sweepfile import read_sweep
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
        ("--out_dir=x --init_from=resume", "a study goes on by itself"),
    ]:
        done = gptmill(folder, "sweep", "lambda.yaml", *flag.split())
        assert done.code == 2 and says in done.err, done.err


RANDOM = SWEEP.replace("grid", "random").replace("  num_epochs:\n    value: 7\n", "")


def test_a_dry_run_tells_people_and_programs_what_the_runs_are_and_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def listed(method: str, *words: str) -> str:
        (tmp_path / "s.yaml").write_text(RANDOM.replace("random", method).replace("[1e-3, 3e-2]", "[1e-3, 3e-2, 5e-2]"))
        assert run(["sweep", "s.yaml", "quick", "--device=cpu", "--dry_run", *words]) == 0
        return capsys.readouterr().out

    told = json.loads(listed("random", "--count=3", "--parallel=2", "--json"))
    drawn = [each["settings"]["learning_rate"] for each in told["runs"]]
    assert len(drawn) == 3 and set(drawn) <= {"1e-3", "3e-2", "5e-2"} and told["at_a_time"] == 2
    assert told["together"]["iters"] == sum(each["iters"] for each in told["runs"]) == 3 * 1800
    assert all((each["seconds"] is None) == any("time:" in why for why in told["not_known"]) for each in told["runs"])
    page = listed("random", "--count=3", "--parallel=2").splitlines()
    assert page[0] == "3 runs, 2 at a time" and page[1].split()[:2] == ["run", "learning_rate"]
    assert [line.split()[1] for line in page[2:5]] == drawn and page[5].startswith("one after the other")
    assert listed("grid", "--count=1").splitlines()[0] == "1 run"
    assert "1e-3 | 3e-2 | 5e-2" in listed("bayes", "--count=2")
    assert not list(tmp_path.glob("out-*"))


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        (SWEEP.replace("3e-2", "0.001"), [], "s.yaml:5: learning_rate: 1e-3 and 0.001 are one value"),
        (SWEEP + "early_terminate: {type: hyperband, min_iter: 10}\n", [], "the longest has 10: nothing would ever"),
        (SWEEP + "early_terminate: {type: hyperband, min_iter: 9}\n", ["--dry_rn"], "did you mean '--dry_run'?"),
        ("arms:\n  a:\n  b:\n    bias: True\n", [], "it is a study: `gptmill ablate s.yaml`"),
    ],
)
def test_what_a_sweep_would_never_do_is_a_line_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(text.replace("  num_epochs:\n    value: 7\n", ""))
    with pytest.raises(UserError) as told:  # quick evaluates before its 1,800 steps and every 200 of them
        run(["sweep", "s.yaml", "quick", "--dry_run", *words])
    assert len(told.value.problems) == 1 and says in told.value.problems[0], told.value.problems


def test_a_slip_in_the_files_form_does_not_hide_one_in_a_key(tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        read_sweep(SWEEP.replace("metric", "metrik").replace("learning_rate", "learning_rte"), "s.yaml", ["val/loss"])
    assert [line.partition(": ")[2].partition(":")[0] for line in told.value.problems] == ["metrik", "learning_rte"]
    assert told.value.problems[1].endswith("did you mean 'learning_rate'?")


def test_each_place_has_its_gpu_or_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    gpus = [environment_of_run(Path("b"), place, 3, ["GPU-a", "GPU-b"])["CUDA_VISIBLE_DEVICES"] for place in range(3)]
    assert gpus == ["GPU-a", "GPU-b", "GPU-a"]
    assert environment_of_run(Path("b"), 0, 3, [])["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in environment_of_run(Path("b"), 0, 1, [])
