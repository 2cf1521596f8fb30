from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gptmill.errors import TryAgain, UserError
from gptmill.events import RunDone, RunStarted
from gptmill.plan.types import Plan
from gptmill.shapes import ModelShape
from gptmill.track.describe import describe
from gptmill.track.jsonl import JsonlRecorder
from gptmill.track.run_dir import open_run_dir

PLAN = Plan(
    **{
        name: {"str": "x", "int": 1, "float": 1.0, "bool": False}.get(str(kind).split(" ")[0])
        for name, kind in Plan.__annotations__.items()
    }
    | {"shape": ModelShape(), "advice": ()}
)


def ten_steps(done: dict[str, Any]) -> bool:
    return done["iter"] >= 10


def make_run(path: Path, *, done_at: int | None = None) -> Path:
    """A run folder as a process leaves it, completed at ``done_at`` or not at all."""
    run = open_run_dir(path, explicit=True, complete=ten_steps)
    describe(run.path, {"n_layer": 2}, {"n_layer": "flag"}, PLAN)
    recorder = JsonlRecorder(run.path, lambda: {"iters": done_at})
    recorder(RunStarted(0, 10, 4))
    if done_at is not None:
        recorder(RunDone(done_at, 1.5))
    recorder.close()
    run.release()
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def opened(out_dir: Path, **how):
    how = {"explicit": True, "complete": ten_steps, **how}
    run = open_run_dir(out_dir, **how)
    run.release()
    return run


def test_a_new_folder_is_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        run = opened(tmp_path / "a" / "out")
    finally:
        os.umask(old)
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert (run.path / ".lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("done_at", [None, 10])
def test_a_used_folder_named_by_a_flag_is_refused_in_one_line_and_untouched(tmp_path, done_at):
    out = make_run(tmp_path / "out", done_at=done_at)
    before = contents(out)
    with pytest.raises(UserError) as caught:
        opened(out)
    (line,) = caught.value.problems
    assert "--resume" in line and "--overwrite" in line and str(out) in line
    before[".lock"] = contents(out)[".lock"]
    assert contents(out) == before


def test_a_used_folder_that_was_not_asked_for_gives_way_to_the_next_number(tmp_path):
    out = make_run(tmp_path / "out")
    second = opened(out, explicit=False)
    assert second.path == tmp_path / "out-2"
    assert len(second.notices) == 1
    make_run(tmp_path / "out-2")
    assert opened(out, explicit=False).path == tmp_path / "out-3"


def test_an_empty_or_never_started_folder_is_free(tmp_path):
    (tmp_path / "out").mkdir()
    assert opened(tmp_path / "out").notices == []
    (tmp_path / "out" / ".config.json.k3_ab9xz").write_text("half")  # killed while writing its first file
    assert opened(tmp_path / "out").path == tmp_path / "out"


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_folder_that_is_not_a_run_is_never_taken(tmp_path, how):
    home = tmp_path / "home"
    (home / "checkpoints").mkdir(parents=True)
    (home / "config.json").write_text('{"model_type": "gpt2"}')  # Hugging Face's, not ours
    (home / "source").mkdir()
    (home / "source" / "thesis.tex").write_text("years of work")
    before = contents(home)
    with pytest.raises(UserError, match="not a run's"):
        opened(home, **how)
    after = contents(home)
    after.pop(".lock", None)
    assert after == before


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_run_whose_config_is_damaged_says_which_file_and_stays_as_it_is(tmp_path, how):
    out = make_run(tmp_path / "out")
    (out / "config.json").write_text((out / "config.json").read_text()[:20])
    before = contents(out)
    with pytest.raises(UserError, match=r"config\.json is damaged.*from a copy"):
        opened(out, **how)
    assert {**contents(out), ".lock": b""} == {**before, ".lock": b""}


def test_resume_continues_the_newest_unfinished_run(tmp_path):
    out = make_run(tmp_path / "out", done_at=10)
    make_run(tmp_path / "out-2")
    make_run(tmp_path / "out-10")
    make_run(tmp_path / "out-11", done_at=10)
    make_run(tmp_path / "out-012")  # not a name we give
    run = opened(out, explicit=False, resume=True)
    assert (run.path, run.resumed) == (tmp_path / "out-10", True)


def test_resume_of_a_finished_run_hands_back_its_summary(tmp_path):
    run = opened(make_run(tmp_path / "out", done_at=10), resume=True)
    assert run.finished == {"iters": 10}
    assert not run.resumed


def test_raising_max_iters_makes_a_finished_run_unfinished(tmp_path):
    run = opened(make_run(tmp_path / "out", done_at=10), resume=True, complete=lambda done: done["iter"] >= 11)
    assert run.resumed
    assert run.finished is None


@pytest.mark.parametrize("explicit", [True, False])
def test_resume_without_a_run_starts_one_and_says_so(tmp_path, explicit):
    run = opened(tmp_path / "out", explicit=explicit, resume=True)
    assert run.path == tmp_path / "out"
    assert not run.resumed
    assert "starting a new one" in run.notices[0]


def test_overwrite_deletes_the_run_and_nothing_else(tmp_path):
    out = make_run(tmp_path / "out", done_at=10)
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").touch()
    (out / "checkpoints").symlink_to(treasure)
    (out / "best").symlink_to("checkpoints/gold")
    (out / "notes.txt").write_text("mine")
    run = opened(out, overwrite=True)
    assert sorted(os.listdir(run.path)) == [".lock", "notes.txt"]
    assert (treasure / "gold").exists()


def test_resume_and_overwrite_together_are_refused(tmp_path):
    with pytest.raises(UserError, match="one of them"):
        opened(tmp_path / "out", resume=True, overwrite=True)


@pytest.mark.parametrize("how", [{}, {"explicit": False}, {"resume": True}])
def test_a_file_in_the_way_is_one_line(tmp_path, how):
    (tmp_path / "out").write_text("x")
    if how == {"explicit": False}:
        assert opened(tmp_path / "out", **how).path == tmp_path / "out-2"
        return
    with pytest.raises(UserError, match="is a file"):
        opened(tmp_path / "out", **how)


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}, {}])
def test_a_second_process_is_told_who_holds_the_folder(tmp_path, how):
    code = """
import sys
from gptmill.track.run_dir import open_run_dir
run = open_run_dir(sys.argv[1], explicit=True, complete=bool)
print("held", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(TryAgain, match=rf"pid {holder.pid} on {os.uname().nodename}"):
            opened(tmp_path / "out", **how)
        assert opened(tmp_path / "out", explicit=False).path == tmp_path / "out-2"
    finally:
        holder.kill()
        holder.communicate()
    assert opened(tmp_path / "out").path == tmp_path / "out"  # a dead process holds nothing


def test_the_lock_does_not_follow_a_link(tmp_path):
    (tmp_path / "out").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out" / ".lock").symlink_to(victim)
    with pytest.raises(UserError):
        opened(tmp_path / "out")
    assert victim.read_text() == "precious"


def test_the_folder_tells_what_was_asked_and_with_which_code(tmp_path):
    run = open_run_dir(tmp_path / "out", explicit=True, complete=ten_steps)

    def tokenizer(folder: Path) -> None:
        (folder / "vocab.json").write_text("{}")

    describe(run.path, {"n_layer": 2, "epochs": None}, {"n_layer": "flag --n_layer"}, PLAN, tokenizer)
    describe(run.path, {"n_layer": 3}, {"n_layer": "quick.py line 4"}, replace(PLAN, max_iters=77), tokenizer)
    keys = json.loads((run.path / "config.json").read_text())["keys"]
    assert keys == {"n_layer": {"value": 3, "origin": "quick.py line 4"}}
    assert json.loads((run.path / "plan.json").read_text())["max_iters"] == 77
    assert (run.path / "tokenizer" / "vocab.json").read_text() == "{}"
    import gptmill.train.state

    assert (run.path / "source" / "train" / "state.py").read_bytes() == Path(gptmill.train.state.__file__).read_bytes()
    assert not [name for name in os.listdir(run.path) if name.startswith(".") and name != ".lock"]
    run.release()


@pytest.mark.parametrize("limit", [10, 5_000])  # bytes: too few for config.json; too few for some of the code
def test_what_the_disk_does_not_take_is_named_by_its_path_in_the_run_folder(tmp_path, limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError) as refused:
            describe(tmp_path, {"n_layer": 2}, {"n_layer": "flag"}, PLAN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    named = Path(refused.value.filename)
    assert refused.value.errno == errno.EFBIG and named.is_relative_to(tmp_path)
    assert named.is_relative_to(tmp_path / "source") or limit == 10 or ".source." in str(named)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
