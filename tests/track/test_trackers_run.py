"""Trackers of real runs: the files they leave, what a refusal says, and that a run ends whatever W&B does."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.text.metadata import PLUGIN_NAME

from gptmill.cli import trackers
from gptmill.cli.main import main
from gptmill.config.load import load
from gptmill.errors import UserError
from gptmill.events import RunDone
from tests.cli.run import SMALL, Done, gptmill, prepare_tiny
from tests.track.test_trackers import steps, told
from tests.track.wandb_file import history, records
from tests.train.small import small_plan

WORDS = ["train", *SMALL, "--log_interval=10"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and nobody logged in to anything."""
    place = tmp_path_factory.mktemp("trackers")
    prepare_tiny(place)
    return place


@pytest.fixture(scope="module")
def tracked(folder: Path) -> tuple[Path, str]:
    """A run that both trackers saw, stopped at step 10 and continued; its folder, and all that it said."""
    said = ""
    for more in (["--max_iters=10"], ["--resume"]):
        words = [*WORDS, "--out_dir=run", "--tensorboard_log", "--wandb_log", "--wandb_project=mine", *more]
        done = gptmill(folder, *words, WANDB_MODE="offline", HOME=str(folder))
        assert done.code == 0, done.err
        said += done.err
    wait_for_the_end_of(folder)
    return folder / "run", said


def processes(folder: Path) -> dict[int, str]:
    """Command lines of processes that work in this folder, by pid."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found[int(process.name)] = (process / "cmdline").read_bytes().decode().replace("\0", " ")
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def wait_for_the_end_of(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while (left := processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == {}


def metrics(run: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def test_tensorboard_shows_a_continued_run_as_one_curve(tracked: tuple[Path, str]) -> None:
    run, _ = tracked
    found = EventAccumulator(str(run / "tensorboard")).Reload()
    for tag, event, field in (("train/loss", "step_done", "loss"), ("val/loss", "eval_done", "val_loss")):
        wanted = [(line["iter"], pytest.approx(line[field], rel=1e-6)) for line in metrics(run, event)]
        assert [(point.step, point.value) for point in found.Scalars(tag)] == wanted, tag
    assert len(found.Scalars("train/loss")) == 20
    assert "config" in found.PluginTagToContent(PLUGIN_NAME)


def test_wandb_offline_keeps_a_continued_run_as_one_of_its_runs(tracked: tuple[Path, str]) -> None:
    run, _ = tracked
    files = sorted(run.glob("wandb/offline-run-*/*.wandb"))
    runs = [record.run for file in files for record in records(file) if record.WhichOneof("record_type") == "run"]
    assert len(files) == 2 and len({each.run_id for each in runs}) == 1
    assert {(each.project, each.display_name) for each in runs} == {("mine", "run")}
    config = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    asked = json.loads((run / "config.json").read_text())["keys"]
    differ = {key for key in asked if config[key] != asked[key]["value"]}
    assert differ == {"max_iters", "init_from"}, "those of the second command"
    assert config["plan"]["max_iters"] == 10 and config["plan"]["tokens_per_iter"] == 64
    logged = {line["_step"]: line for file in files for line in history(file)}
    for field, event, name in (("loss", "step_done", "train/loss"), ("val_loss", "eval_done", "val/loss")):
        wanted = {line["iter"]: line[field] for line in metrics(run, event)}
        assert {step: line[name] for step, line in logged.items() if name in line} == wanted
    ends = [record.exit.exit_code for record in records(files[1]) if record.WhichOneof("record_type") == "exit"]
    assert ends == [0]


def test_the_console_says_where_wandb_keeps_it_and_nothing_else_of_theirs(tracked: tuple[Path, str]) -> None:
    run, said = tracked
    folders = re.findall(r"^Weights & Biases: offline; `wandb sync (.*)` uploads it$", said, re.MULTILINE)
    assert len(folders) + said.count("Weights & Biases: not done 5 s") == 2, "on a busy machine it comes too late"
    assert {Path(path).parent for path in folders} <= {run / "wandb"}
    assert all(list(Path(path).glob("*.wandb")) for path in folders)
    assert "wandb:" not in said and "TensorBoard" not in said


WANDB_THAT_HANGS = """
import atexit, threading, time
class Settings:
    mode = "online"
    def __init__(self, **_): pass
class Run:
    offline, url, dir, summary = False, None, "", {}
    def log(self, *_, **__): time.sleep(60)
    def finish(self, **_): time.sleep(60)
class setup: settings = Settings()
def login(**_): print("logged in")
def init(**_):
    print("wandb says hello")
    threading.Thread(target=time.sleep, args=(60,)).start()
    atexit.register(time.sleep, 60)
    return Run()
"""


def test_a_wandb_that_hangs_for_a_minute_changes_nothing(
    folder: Path, tmp_path: Path, tracked: tuple[Path, str]
) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "__init__.py").write_text(WANDB_THAT_HANGS)
    done = gptmill(folder, *WORDS, "--out_dir=hung", "--wandb_log", "--json", PYTHONPATH=str(tmp_path))
    result = done.json()
    assert result["weights_sha256"] == metrics(tracked[0], "run_done")[-1]["summary"]["weights_sha256"]
    assert [line for line in done.err.splitlines() if "Weights" in line] == [
        "Weights & Biases: not done 5 s after the run; left to itself for at most 60 s"
    ]
    assert "hello" not in done.err and done.seconds < 50, "not the minutes that its log and finish take"
    (left,) = processes(folder)
    os.kill(left, signal.SIGKILL)  # it would end by itself, in a minute (test_trackers.py)


def test_a_flag_without_a_login_is_refused_before_torch(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    keyless = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none"), "WANDB_API_KEY": "", "WANDB_MODE": "online"}
    done: Done = gptmill(folder, *WORDS, "--out_dir=no", "--use-wandb", PYTHONPATH=str(tmp_path), **keyless)
    assert done.code == 2 and done.out == "" and not (folder / "no").exists()
    (line,) = done.err.splitlines()
    assert line.startswith("error: --use-wandb: wandb_log=True: ") and "`wandb login`" in line and "WANDB_MODE" in line


def test_without_a_login_what_a_file_asks_for_is_switched_off_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HOME", str(tmp_path)), ("WANDB_API_KEY", ""), ("WANDB_MODE", "online")):
        monkeypatch.setenv(name, value)
    (tmp_path / "a.py").write_text("wandb_log = True\n")
    resolved = load([str(tmp_path / "a.py")])
    trackers.require_trackers(resolved)
    (outbox,) = trackers.trackers(resolved, small_plan(wandb_log=True), tmp_path)
    outbox.process.wait(30)
    (notice,) = told(outbox, [*steps(3), RunDone(3, 0.5)])
    assert notice.startswith("Weights & Biases: off: ") and "wandb login" in notice


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, label in (("tensorboard_log", "TensorBoard"), ("wandb_log", "Weights & Biases")):
        monkeypatch.setitem(trackers.KINDS, key, trackers.Kind(label, f"no_{key}", "nowhere:None"))


def test_flags_for_packages_that_are_missing_are_refused_with_the_line_that_installs_them(
    folder: Path, nothing_installed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main([*WORDS, "--out_dir=no", "--tensorboard_log", "--wandb-log=True"])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and not (folder / "no").exists()
    assert [re.search("`pip install (.*)`", line)[1] for line in lines] == ["no_tensorboard_log", "no_wandb_log"]  # type: ignore[index]


def test_what_a_file_asks_for_and_is_missing_is_one_line(
    nothing_installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.py").write_text("wandb_log = True\n")
    resolved = load([str(tmp_path / "a.py")])
    trackers.require_trackers(resolved)
    assert trackers.trackers(resolved, small_plan(wandb_log=True), tmp_path) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert "a.py:1: wandb_log=True" in line and line.endswith("going on without it")


def test_a_folder_that_wandb_left_behind_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert not trackers.KINDS["wandb_log"].is_installed()
    with pytest.raises(UserError, match="pip install wandb"):
        trackers.require_trackers(load(["--wandb_log"]))


def test_a_tracker_of_which_no_process_can_be_started_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
    assert trackers.trackers(load(["--tensorboard_log"]), small_plan(tensorboard_log=True), tmp_path) == []
    assert capsys.readouterr().err == "TensorBoard cannot be started: No such file or directory; going on without it\n"


def test_nobody_pays_for_trackers_that_are_off(tmp_path: Path) -> None:
    assert trackers.trackers(load([]), small_plan(), tmp_path) == []
    assert os.listdir(tmp_path) == []
