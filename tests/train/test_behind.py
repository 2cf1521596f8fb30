"""A large checkpoint is written while training goes on: it holds the moment it was asked for, and its answer comes later."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from gptmill.errors import GptmillError
from gptmill.events import CheckpointDue, CheckpointSaved, Event, Notice
from gptmill.train import checkpointer
from gptmill.train.checkpointer import Checkpointer
from gptmill.train.loading import load
from gptmill.train.members import weights_sha256
from gptmill.train.tensorfile import write_tensors
from tests.train.toy import FACTS, take_steps, toy_state


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointer, "BEHIND", 0)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing reaches the disk until it is set."""
    opened, real = threading.Event(), os.write

    def write(fd: int, data: bytes) -> int:
        opened.wait(10)
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    return opened


def heard(saver: Checkpointer, iter: int) -> list[Event]:
    """What it answers to whatever happens next, once there is something."""
    for _ in range(500):
        if answer := list(saver(Notice(iter, "time passes"))):
            return answer
        time.sleep(0.01)
    raise AssertionError("no answer")


def test_steps_go_on_and_the_checkpoint_holds_the_moment_before_them(tmp_path: Path, gate: threading.Event) -> None:
    state = take_steps(toy_state(), 2)
    moment, saver = weights_sha256(state.model), Checkpointer(tmp_path, state, FACTS, keep=2)
    assert saver(CheckpointDue(2, "eval", best=True)) == []
    take_steps(state, 3)
    gate.set()
    (saved,) = heard(saver, 5)
    assert isinstance(saved, CheckpointSaved) and saved.iter == 2 and saved.seconds < saved.seconds_behind
    loaded = toy_state(seed=5)
    load((tmp_path / "best").resolve(), loaded)
    assert loaded.iter == 2 and weights_sha256(loaded.model) == moment != weights_sha256(state.model)


def test_the_last_checkpoint_waits_for_the_one_before_and_is_on_the_disk_when_it_is_told(tmp_path: Path) -> None:
    state = take_steps(toy_state(), 1)
    saver = Checkpointer(tmp_path, state, FACTS, keep=3)
    saver(CheckpointDue(1, "time"))
    take_steps(state, 1)
    told = [event for event in saver(CheckpointDue(2, "end")) if isinstance(event, CheckpointSaved)]
    assert [event.iter for event in told] == [1, 2]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_00000001", "step_00000002"]


def test_a_disk_that_does_not_answer_is_said_once_and_nothing_is_queued_onto_it(
    tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "LEAST", 0.2)
    state = take_steps(toy_state(), 1)
    saver = Checkpointer(tmp_path, state, FACTS, keep=3)
    assert saver(CheckpointDue(1, "time")) == [] == list(saver(Notice(1, "it is not late yet")))
    (late,) = heard(saver, 1)
    path = re.escape(str(tmp_path / "checkpoints" / "step_00000001"))
    assert isinstance(late, Notice) and re.match(rf"{path}: still being written after \d+ ms: .*goes on", late.says)
    assert list(saver(Notice(1, "said once"))) == []
    for step in (2, 3):
        take_steps(state, 1)
        (skipped,) = saver(CheckpointDue(step, "eval", best=True))
        assert isinstance(skipped, Notice) and skipped.says.startswith(
            f"step {step}: not saved: step_00000001 is still"
        )
    gate.set()
    assert [event.iter for event in heard(saver, 3) if isinstance(event, CheckpointSaved)] == [1]
    take_steps(state, 1)
    saver(CheckpointDue(4, "time"))
    assert [type(event) for event in heard(saver, 4)] == [CheckpointSaved]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_00000001", "step_00000004"]


def test_a_checkpoint_waits_for_one_before_it_that_is_not_late_and_the_last_one_for_any(
    tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = take_steps(toy_state(), 1)
    saver = Checkpointer(tmp_path, state, FACTS, keep=3)
    saver(CheckpointDue(1, "time"))
    take_steps(state, 1)
    threading.Timer(0.2, gate.set).start()
    assert [event.iter for event in saver(CheckpointDue(2, "time"))] == [1]
    assert [event.iter for event in heard(saver, 2)] == [2]
    gate.clear()
    monkeypatch.setattr(checkpointer, "LEAST", 0.0)
    monkeypatch.setattr(checkpointer, "TIMES", 0.0)
    take_steps(state, 1)
    saver(CheckpointDue(3, "time"))
    take_steps(state, 1)
    threading.Timer(0.2, gate.set).start()
    assert [event.iter for event in saver(CheckpointDue(4, "end")) if isinstance(event, CheckpointSaved)] == [3, 4]


def test_a_refusal_of_the_disk_is_told_later_and_only_the_last_checkpoint_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)
    state = take_steps(toy_state(), 1)
    saver = Checkpointer(tmp_path, state, FACTS, keep=3)
    assert saver(CheckpointDue(1, "time")) == []
    (notice,) = heard(saver, 1)
    assert isinstance(notice, Notice) and "No space left" in notice.says and "training goes on" in notice.says
    with pytest.raises(GptmillError, match="No space left"):
        saver(CheckpointDue(1, "end"))


def test_closing_waits_for_what_is_being_written(tmp_path: Path) -> None:
    saver = Checkpointer(tmp_path, take_steps(toy_state(), 1), FACTS, keep=3)
    saver(CheckpointDue(1, "time"))
    saver.close()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000001"]


def test_the_safetensors_library_reads_what_is_written(tmp_path: Path) -> None:
    tensors = {
        "a.b": torch.randn(3, 5),
        "half": torch.randn(2, 2).to(torch.bfloat16),
        "step": torch.tensor(7.0),
        "odd": torch.arange(7, dtype=torch.uint8),
        "turned": torch.arange(6.0, dtype=torch.float64).view(2, 3).T,
        "none": torch.empty(0, 4),
    }
    told = write_tensors(tmp_path / "x.safetensors", tensors)
    read = safetensors.torch.load_file(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys() and all(torch.equal(read[name], tensors[name]) for name in read)
    assert all(read[name].dtype == tensors[name].dtype for name in read)
    assert told["bytes"] == (tmp_path / "x.safetensors").stat().st_size
    write_tensors(tmp_path / "empty.safetensors", {})
    assert safetensors.torch.load_file(tmp_path / "empty.safetensors") == {}


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    state = take_steps(toy_state(), 1)
    saver = Checkpointer(tmp_path, state, FACTS, keep=3)
    saver(CheckpointDue(1, "time"))
    assert isinstance(heard(saver, 1)[0], CheckpointSaved)
    for holder in (state.model.gain, next(iter(state.optimizer.state.values()))["exp_avg"]):
        take_steps(state, 1)
        kept = holder.detach().clone()
        holder.data.view(-1)[0] = float("nan")
        saver(CheckpointDue(state.iter, "time"))
        (notice,) = heard(saver, state.iter)
        assert isinstance(notice, Notice) and "not finite; training goes on" in notice.says
        holder.data.copy_(kept)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000001"]
