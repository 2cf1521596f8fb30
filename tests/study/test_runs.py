"""The runner of studies, with a trainer that takes milliseconds (trainer.py), and ends at random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gptmill.errors import UserError
from gptmill.study.record import ERROR, OUTPUT, Result, Run, keep_runs, recorded, result
from gptmill.study.runs import Runner
from gptmill.study.standing import Standing
from gptmill.track.jsonl import read_events
from gptmill.track.lock import lock_folder
from tests.cli.run import ROOT

TRAINER = (sys.executable, "-S", "-E", str(Path(__file__).with_name("trainer.py")))
RUNS = [Run(f"run-{n}", (f"--seed={n}",)) for n in range(6)]
STUDY = """
import os, sys
from pathlib import Path
from gptmill.train.signals import StopOnSignal
from tests.study.test_runs import RUNS, runner
with StopOnSignal() as stop:
    runner(Path(sys.argv[1]), stop, places=2).carry_out(RUNS)
"""


@dataclass
class NoSignal:
    signal: int | None = None


def runner(study: Path, stop: object = None, places: int = 1, **options: object) -> Runner:
    environment = {**os.environ}
    return Runner(study, places, lambda *_: environment, stop or NoSignal(), look=0.01, program=TRAINER, **options)  # type: ignore[arg-type]


def ends(study: Path) -> dict[str, int]:
    """How often each run was completed."""
    return {
        run.name: sum(event["event"] == "run_done" for event in read_events(run)) for run in sorted(study.glob("*/"))
    }


def test_every_run_is_trained_once_in_its_own_folder_and_never_again(tmp_path: Path) -> None:
    found = runner(tmp_path, places=3).carry_out(RUNS)
    assert {each.run.id: each.state for each in found} == {run.id: "finished" for run in RUNS}
    assert ends(tmp_path) == {run.id: 1 for run in RUNS}
    words = json.loads((tmp_path / "run-4" / "config.json").read_text())["words"]
    assert words == ["--seed=4", f"--out_dir={tmp_path / 'run-4'}"]
    again = runner(tmp_path).carry_out(RUNS)
    assert [each.summary for each in again] == [{"best_val_loss": 5.0}] * 6
    assert ends(tmp_path) == {run.id: 1 for run in RUNS}


def test_no_more_runs_at_a_time_than_places(tmp_path: Path) -> None:
    most: list[int] = []

    def watch(standing: Standing) -> dict[str, str]:
        most.append(len(standing.going))
        return {}

    runner(tmp_path, places=2, watch=watch).carry_out(RUNS)
    assert max(most) == 2


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_the_same_call_finishes_the_rest(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for number in (signal.SIGINT, signal.SIGTERM):
        study = subprocess.Popen([sys.executable, "-c", STUDY, str(tmp_path)], cwd=ROOT, env=environment)
        while not list(tmp_path.glob("*/metrics.jsonl")):
            assert study.poll() is None
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))
        study.send_signal(number)
        study.wait(timeout=30)
    found = runner(tmp_path, places=2).carry_out(RUNS)
    assert {each.state for each in found} == {"finished"}
    assert ends(tmp_path) == {run.id: 1 for run in RUNS}
    steps = [event["iter"] for event in read_events(tmp_path / "run-0") if event["event"] == "step_done"]
    assert steps == list(range(1, 11)), "it went on where it had saved"


def test_a_failed_run_is_written_down_with_its_last_line_and_the_rest_go_on(tmp_path: Path) -> None:
    (tmp_path / "behaviour.json").write_text(json.dumps({"run-1": "fail", "run-3": "die"}))
    found = {each.run.id: each for each in runner(tmp_path).carry_out(RUNS)}
    assert [each.state for each in found.values()].count("finished") == 4
    assert found["run-1"].says == "exit code 1: the loss is not a number"
    assert found["run-3"].says.startswith("SIGKILL")
    assert (tmp_path / "run-1" / ERROR).read_text() == "exit code 1: the loss is not a number\n"
    assert "the loss is not a number" in (tmp_path / "run-1" / OUTPUT).read_text()
    again = runner(tmp_path).carry_out(RUNS)
    assert {each.state for each in again} == {"finished"}, "what failed is tried again"
    assert not (tmp_path / "run-1" / ERROR).exists()


def test_stop_on_failure_starts_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "behaviour.json").write_text(json.dumps({"run-1": "fail"}))
    found = runner(tmp_path, stop_on_failure=True).carry_out(RUNS)
    assert [each.run.id for each in found] == ["run-0", "run-1"]
    assert result(tmp_path, RUNS[2]).state == "new"


def test_what_another_process_trains_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptmill.study.runs.BUSY", 0.05)
    lock, _ = lock_folder(tmp_path / "run-2")
    open_locks = [lock]

    def watch(standing: Standing) -> dict[str, str]:
        if standing.notices and len(standing.ended) == 1 and open_locks:  # run-0 went first meanwhile
            os.close(open_locks.pop())
        return {}

    held = runner(tmp_path, watch=watch)
    found = held.carry_out([RUNS[2], RUNS[0]])
    assert [each.run.id for each in found] == ["run-0", "run-2"]
    assert {each.state for each in found} == {"finished"} and ends(tmp_path)["run-2"] == 1
    assert held.standing.notices == [f"out_dir={tmp_path / 'run-2'}: in use by someone"]


def test_a_run_that_the_study_stops_early_stays_stopped(tmp_path: Path) -> None:
    def watch(standing: Standing) -> dict[str, str]:
        slow = [each for each in standing.going if each.run.id == "run-1" and each.max_iters]
        return {each.run.id: "not among the best" for each in slow}

    found = {each.run.id: each for each in runner(tmp_path, watch=watch).carry_out(RUNS[:3])}
    assert {id: each.state for id, each in found.items()} == {
        "run-0": "finished",
        "run-1": "stopped",
        "run-2": "finished",
    }
    assert found["run-1"].says == "not among the best"
    again: list[Result] = runner(tmp_path).carry_out(RUNS[:3])
    assert [each.state for each in again] == ["finished", "stopped", "finished"]
    assert ends(tmp_path)["run-1"] == 0


def test_time_left_is_what_the_rest_takes_at_the_pace_so_far() -> None:
    standing = Standing(ended=[result(Path("nowhere"), RUNS[0])], work=1.0, began=time.monotonic() - 10)
    left = standing.left(4)
    assert left is not None and left == pytest.approx(30, rel=0.01)


def test_the_record_takes_more_runs_and_refuses_other_settings_of_the_same(tmp_path: Path) -> None:
    keep_runs(tmp_path, "sweep", RUNS[:2])
    keep_runs(tmp_path, "sweep", RUNS)
    assert recorded(tmp_path, "sweep") == RUNS
    with pytest.raises(UserError, match="run-1: was asked for with --seed=1 and now with --seed=7"):
        keep_runs(tmp_path, "sweep", [RUNS[0], Run("run-1", ("--seed=7",))])
    with pytest.raises(UserError, match="another kind"):
        keep_runs(tmp_path, "matrix", RUNS)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        keep_runs(tmp_path, "sweep", RUNS)
