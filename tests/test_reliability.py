"""The reliability benchmark's own tools: its tracer sees what a process does, its page says what was measured."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.reliability import PARTS
from benchmarks.reliability.cost import ends_after
from benchmarks.reliability.jobs import each, verdict
from benchmarks.reliability.machine import NotHere
from benchmarks.reliability.page import on_file, tables
from benchmarks.reliability.tracer import KILL, follow
from benchmarks.reliability_inputs import PARTS as INPUTS

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "reliability.md"
linux = pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="x86-64 Linux only")
CALLS = ["creating open", "write", "fsync", "rename"]


def save(folder: Path) -> None:
    """A save without the libraries that a real one has."""
    fd = os.open(folder / "fresh", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"weights")
    os.fsync(fd)
    os.rename(folder / "fresh", folder / "saved")


def in_a_thread(folder: Path) -> None:
    thread = threading.Thread(target=save, args=(folder,))
    thread.start()
    thread.join()
    (folder / "after").touch()


@linux
def test_the_tracer_sees_the_calls_of_every_thread_below_the_folder_and_no_others(tmp_path: Path) -> None:
    for folder in (run := tmp_path / "run", other := tmp_path / "run-2"):
        folder.mkdir()
    code, touches = follow(lambda: in_a_thread(run), run)
    assert code == 0 and [touch.call for touch in touches if touch.changes][:4] == CALLS
    assert touches[-1].path.endswith("after") and [touch.number for touch in touches] == list(range(len(touches)))
    assert follow(lambda: save(other), run)[1] == []


@linux
@pytest.mark.parametrize(("at", "left"), [(0, {}), (1, {"fresh": b""}), (3, {"fresh": b"weights"})])
def test_a_process_killed_at_a_call_has_not_made_it(tmp_path: Path, at: int, left: dict[str, bytes]) -> None:
    code, _ = follow(lambda: save(tmp_path), tmp_path, lambda touch: KILL if touch.number == at else None)
    assert code == -9 and {path.name: path.read_bytes() for path in tmp_path.iterdir()} == left


@linux
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_call_that_is_made_to_fail_is_not_made_and_tells_why(tmp_path: Path, at: int) -> None:
    def told() -> None:
        with pytest.raises(OSError) as refused:
            save(tmp_path)
        sys.exit(refused.value.errno)

    code, touches = follow(told, tmp_path, lambda touch: errno.ENOSPC if touch.number == at else None)
    assert code == errno.ENOSPC and touches[at].call == CALLS[at]
    assert not (tmp_path / "saved").exists()


def test_a_part_that_failed_or_broke_off_is_told_from_one_that_is_good_or_cannot_be_made_here(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def make(part: str, folder: Path) -> dict[str, bool]:
        (folder / "of its own").touch()
        if part == "absent":
            raise NotHere("no such disk")
        if part == "broken":
            raise ValueError("a mistake of the trial")
        return {"good": part == "good"}

    ended = dict(each(["good", "bad", "absent", "broken"], 2, tmp_path, make))
    verdicts = {part: verdict(part, figures) for part, figures in ended.items()}
    assert verdicts == {"good": True, "bad": False, "absent": True, "broken": False}
    told = capfd.readouterr()
    assert "absent not run: no such disk" in told.out and "a mistake of the trial" in told.err
    assert "good" not in ended["absent"] and not ended["broken"]  # no figures to keep


def test_make_knows_each_part_and_its_command() -> None:
    recipe = (GUIDE.parents[2] / "Makefile").read_text()
    assert f"INPUTS := {' '.join(INPUTS)}\n" in recipe and not set(PARTS) & set(INPUTS)
    for part in PARTS:
        assert callable(importlib.import_module(f"benchmarks.reliability.{part}").trial)
    found, inputs = on_file()
    assert set(found) <= set(PARTS) and set(inputs) == set(INPUTS)
    rows = {line.split("`")[1] for line in tables(found, inputs).splitlines() if line.startswith("| `")}
    assert rows == {*found, *inputs} - {"peers", "controls"}  # which have tables of their own


@pytest.mark.parametrize(("seconds", "ends"), [([4.0, 3.0, 2.0, 1.0], 5.0), ([1.0, 2.0, 3.0, 10.0], 12.0), ([], 0.0)])
def test_parts_begin_in_order_as_soon_as_one_of_two_places_is_free(seconds: list[float], ends: float) -> None:
    assert ends_after(seconds) == ends


def test_the_guides_tables_are_those_of_the_figures_on_file() -> None:
    page = GUIDE.read_text()
    for block in tables(*on_file()).split("\n\n"):
        assert block in page
