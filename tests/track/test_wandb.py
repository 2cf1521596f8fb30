"""What the W&B library is told, by events: a stand-in for its ``init`` keeps the calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from gptmill.events import Alarm, Event, RunDone, RunStarted, Samples, Stopped
from gptmill.track import wandb
from gptmill.track.records import record
from tests.track.test_tensorboard import CHARTS, STEP


def logged(run_dir: Path, monkeypatch: pytest.MonkeyPatch, events: list[Event]) -> tuple[MagicMock, dict[str, Any]]:
    """The stand-in after these events and the end, and what ``init`` was asked for."""
    init = MagicMock()
    monkeypatch.setattr(wandb.wandb, "init", init)
    about = {
        "project": "mine",
        "entity": None,
        "name": "run",
        "config": {"n_layer": 2},
        "plan": {"params": 7},
        "pid": 1,
    }
    tracker = wandb.WandbRun({"run_dir": str(run_dir), **about}, lambda text: None)
    for event in events:
        fields = record(event)
        assert fields is not None
        tracker(fields)
    tracker.close()
    return init.return_value, init.call_args.kwargs


@pytest.mark.parametrize(
    ("events", "exit_code"),
    [([RunStarted(0, 10, 64), RunDone(10, 0.5)], 0), ([Stopped(5, 15)], 143), ([RunStarted(0, 10, 64)], 1)],
    ids=["done", "stopped", "killed"],
)
def test_the_run_ends_there_as_it_ended_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Event], exit_code: int
) -> None:
    run, _ = logged(tmp_path, monkeypatch, events)
    run.finish.assert_called_once_with(exit_code=exit_code)


def test_a_folder_is_one_run_there_for_as_long_as_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    asked = [logged(folder, monkeypatch, [])[1] for folder in (tmp_path, tmp_path, other)]
    assert asked[0]["id"] == asked[1]["id"] != asked[2]["id"]
    assert {each["resume"] for each in asked} == {"allow"}


def test_numbers_samples_and_alarms_arrive_at_their_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = Samples(7, ({"prompt": "Once", "text": " upon"},))
    alarm = Alarm(7, "loss_spike", "loss 9 is far above 3")
    run, asked = logged(tmp_path, monkeypatch, [STEP, samples, alarm, RunDone(7, 2.25)])
    numbers, table = (call.args[0] for call in run.log.call_args_list)
    assert [call.kwargs["step"] for call in run.log.call_args_list] == [7, 7]
    assert numbers == pytest.approx(CHARTS)
    assert table["samples"].data == [[7, "Once", " upon"]]
    run.alert.assert_called_once_with(title="loss_spike", text="loss 9 is far above 3")
    run.summary.__setitem__.assert_called_once_with("best_val_loss", 2.25)
    assert asked["config"] == {"n_layer": 2, "plan": {"params": 7}}
