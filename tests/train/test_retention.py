from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gptmill.errors import GptmillError
from gptmill.events import CheckpointDue, CheckpointSaved, Notice, RunStarted
from gptmill.train.checkpoint import save
from gptmill.train.checkpointer import Checkpointer
from gptmill.train.manifest import newest_good, verify
from gptmill.train.retention import mark_best, retire, sweep

from .toy import FACTS, take_steps, toy_state


def names(run: Path) -> list[str]:
    return sorted(os.listdir(run / "checkpoints"))


def step(run: Path, iter: int) -> Path:
    return run / "checkpoints" / f"step_{iter:08d}"


def run_with(run: Path, *iters: int) -> Path:
    state = toy_state()
    for iter in iters:
        save(run, take_steps(state, iter - state.iter), FACTS)
    return run


def test_the_newest_and_the_best_stay(tmp_path):
    run = run_with(tmp_path, 1, 2, 3, 4, 5)
    mark_best(run, step(run, 1))
    retire(run, keep=2)
    assert names(run) == ["step_00000001", "step_00000004", "step_00000005"]
    assert os.readlink(run / "best") == "checkpoints/step_00000001"


def test_keep_zero_keeps_all(tmp_path):
    assert retire(run_with(tmp_path, 1, 2, 3), keep=0) == []
    assert len(names(tmp_path)) == 3


@pytest.mark.parametrize(
    ("bad", "left"),
    [((), "45"), ((2, 3), "45"), ((5,), "345"), ((4,), "345"), ((4, 5), "2345"), ((2, 3, 4, 5), "12345")],
)
def test_an_old_one_goes_only_while_two_newer_ones_verify(tmp_path, bad, left):
    run = run_with(tmp_path, 1, 2, 3, 4, 5)
    for iter in bad:
        (step(run, iter) / "model.safetensors").write_bytes(b"x")
    retire(run, keep=2)
    assert "".join(name[-1] for name in names(run)) == left


def test_even_keep_one_leaves_two_good_ones(tmp_path):
    run = run_with(tmp_path, 1, 2, 3)
    retire(run, keep=1)
    assert names(run) == ["step_00000002", "step_00000003"]


@pytest.mark.parametrize(
    "foreign", ["step_1", "step_00000001x", "mine", ".step_00000001", "latest", "step_00000001.bak"]
)
def test_names_we_did_not_give_are_left_alone(tmp_path, foreign):
    run = run_with(tmp_path, 5, 6, 7)
    (run / "checkpoints" / foreign).mkdir()
    retire(run, keep=1)
    sweep(run)
    assert foreign in names(run)


def test_a_checkpoint_with_someone_elses_file_in_it_is_left_alone(tmp_path):
    run = run_with(tmp_path, 1, 2, 3)
    (step(run, 1) / "notes.txt").write_text("the good one")
    retire(run, keep=1)
    assert (step(run, 1) / "notes.txt").read_text() == "the good one"


def test_a_linked_checkpoint_folder_and_its_target_are_left_alone(tmp_path):
    run = run_with(tmp_path / "run", 2, 3, 4)
    elsewhere = run_with(tmp_path / "elsewhere", 1)
    step(run, 1).symlink_to(step(elsewhere, 1))
    (run / "checkpoints" / ".step_00000001.abcdefgh").symlink_to(step(elsewhere, 1))
    retire(run, keep=1)
    sweep(run)
    assert verify(step(elsewhere, 1)) == []
    assert step(run, 1).is_symlink()
    assert not step(run, 2).exists()


def test_a_linked_file_inside_a_checkpoint_keeps_its_target(tmp_path):
    run = run_with(tmp_path / "run", 1, 2, 3)
    treasure = tmp_path / "treasure"
    (step(run, 1) / "state.json").rename(treasure)
    (step(run, 1) / "state.json").symlink_to(treasure)
    retire(run, keep=1)
    assert treasure.exists()


def test_when_checkpoints_is_a_link_nothing_behind_it_is_deleted(tmp_path):
    elsewhere = run_with(tmp_path / "elsewhere", 1, 2, 3)
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").symlink_to(elsewhere / "checkpoints")
    (elsewhere / "checkpoints" / ".step_00000009.abcdefgh").mkdir()
    retire(run, keep=1)
    sweep(run)
    assert len(names(elsewhere)) == 4


def test_a_best_that_is_not_a_link_is_left_alone(tmp_path):
    run = run_with(tmp_path, 1)
    (run / "best").mkdir()
    (run / "best" / "notes").touch()
    with pytest.raises(FileExistsError):
        mark_best(run, step(run, 1))
    assert (run / "best" / "notes").exists()


def test_a_kill_between_the_save_and_the_link_is_repaired_at_the_start(tmp_path):
    state = toy_state()
    save(tmp_path, take_steps(state, 1), FACTS, best=True)
    save(tmp_path, take_steps(state, 1), FACTS, best=True)
    save(tmp_path, take_steps(state, 1), FACTS)
    mark_best(tmp_path, step(tmp_path, 1))
    Checkpointer(tmp_path, state, FACTS, keep=3)(RunStarted(3, 9, 9))
    assert os.readlink(tmp_path / "best") == "checkpoints/step_00000002"


def test_the_checkpointer_saves_links_retires_and_says_so(tmp_path):
    state = toy_state()
    checkpointer = Checkpointer(tmp_path, state, FACTS, keep=2)
    for iter in range(1, 6):
        take_steps(state, 1)
        (event,) = checkpointer(CheckpointDue(iter, "eval", best=iter == 2))
        assert isinstance(event, CheckpointSaved)
        assert event.path == f"checkpoints/step_{iter:08d}"
        assert event.n_bytes == sum(file.stat().st_size for file in (tmp_path / event.path).iterdir())
    assert names(tmp_path) == ["step_00000002", "step_00000004", "step_00000005"]
    assert (tmp_path / "best").resolve() == step(tmp_path, 2).resolve()


def test_leftovers_of_a_killed_save_are_swept_at_the_start(tmp_path):
    run = run_with(tmp_path, 1, 2)
    orphan = run / "checkpoints" / ".step_00000003.k2_x81qz"
    orphan.mkdir()
    (orphan / "model.safetensors").write_bytes(b"half")
    (notice,) = Checkpointer(run, toy_state(), FACTS, keep=2)(RunStarted(2, 10, 10))
    assert isinstance(notice, Notice)
    assert names(run) == ["step_00000001", "step_00000002"]


def test_a_full_disk_is_a_notice_while_training_and_an_error_at_the_end(tmp_path, monkeypatch):
    state = take_steps(toy_state(), 1)
    checkpointer = Checkpointer(tmp_path, state, FACTS, keep=2)

    def full(fd, data):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)
    (event,) = checkpointer(CheckpointDue(1, "eval"))
    assert isinstance(event, Notice)
    assert "No space left on device" in event.says
    assert str(step(tmp_path, 1)) in event.says
    for reason in ("end", "stop"):
        with pytest.raises(GptmillError):
            checkpointer(CheckpointDue(1, reason))


def test_a_full_disk_gives_up_superseded_checkpoints_but_never_the_last_two(tmp_path, monkeypatch):
    state = toy_state()
    checkpointer = Checkpointer(tmp_path, state, FACTS, keep=4)
    real = os.write
    limit = 4

    def small_disk(fd, data):
        if len([name for name in names(tmp_path) if name.startswith("step")]) >= limit:
            raise OSError(28, os.strerror(28))
        return real(fd, data)

    monkeypatch.setattr(os, "write", small_disk)
    said = [
        event for iter in range(1, 6) for event in checkpointer(CheckpointDue(take_steps(state, 1).iter, "snapshot"))
    ]
    assert [event.iter for event in said if isinstance(event, CheckpointSaved)] == [1, 2, 3, 4, 5]
    assert names(tmp_path) == ["step_00000003", "step_00000004", "step_00000005"]
    assert any("removed step_00000002, step_00000001" in event.says for event in said if isinstance(event, Notice))
    limit = 2
    (event,) = checkpointer(CheckpointDue(take_steps(state, 1).iter, "snapshot"))[-1:]
    assert "No space left" in event.says
    assert names(tmp_path) == ["step_00000004", "step_00000005"]


@pytest.mark.parametrize(("refused", "left"), [(("mkdir",), [2, 3]), (("mkdir", "rename"), [1, 2, 3])])
def test_a_disk_without_room_for_a_folder_is_made_room_on_and_one_that_refuses_all_does_not_end_training(
    tmp_path, monkeypatch, refused, left
):
    state = toy_state()
    checkpointer = Checkpointer(tmp_path, state, FACTS, keep=4)
    for _ in range(3):
        checkpointer(CheckpointDue(take_steps(state, 1).iter, "snapshot"))

    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    for call in refused:
        monkeypatch.setattr(os, call, full)
    *_, event = checkpointer(CheckpointDue(take_steps(state, 1).iter, "snapshot"))
    assert "step_00000004: not saved: No space left" in event.says and "training goes on" in event.says
    assert names(tmp_path) == [f"step_{number:08d}" for number in left]


SAVER = """
import sys
from pathlib import Path
from tests.train.toy import FACTS, take_steps, toy_state
from gptmill.train.checkpointer import Checkpointer
from gptmill.events import CheckpointDue, RunStarted
from gptmill.train.checkpoint import resume
import torch
torch.set_num_threads(1)
run, state = Path(sys.argv[1]), toy_state()
resume(run, state, FACTS)
checkpointer = Checkpointer(run, state, FACTS, keep=2)
checkpointer(RunStarted(state.iter, 10**9, 1))
print("ready", flush=True)
while True:
    take_steps(state, 1)
    checkpointer(CheckpointDue(state.iter, "snapshot", best=state.iter % 3 == 0))
    print(state.iter, flush=True)
"""


def test_a_kill_during_saves_loses_no_committed_step(tmp_path):
    root = Path(__file__).parents[2]
    committed = 0
    for trial in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.11 + 0.037 * trial)
        child.kill()
        said = [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait()
        committed = max([committed, *said])
        path, problems = newest_good(tmp_path)
        assert path is not None
        assert problems == []
        assert int(path.name[5:]) >= committed > 0


def test_the_limit_on_file_size_is_an_error_and_not_a_death(tmp_path):
    """RLIMIT_FSIZE stands in for a quota: the kernel refuses the write in another process, for real."""
    code = """
import resource, sys
from pathlib import Path
from tests.train.toy import FACTS, take_steps, toy_state
from gptmill.train.checkpoint import save
from gptmill.errors import GptmillError
run, state = Path(sys.argv[1]), toy_state()
save(run, take_steps(state, 1), FACTS)
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
try:
    save(run, take_steps(state, 1), FACTS)
except GptmillError as error:
    print(error)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=root)
    assert "File too large" in done.stdout, done.stderr
    assert names(tmp_path) == ["step_00000001"]
    assert verify(step(tmp_path, 1)) == []
