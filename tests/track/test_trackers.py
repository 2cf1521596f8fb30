"""Whatever a tracker does in its process, the run does not wait for it, and ends as if it were not there."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gptmill.events import Event, RunDone, RunStarted, StepDone, Stopped
from gptmill.track.outbox import Outbox
from gptmill.track.records import record
from tests.track import fake_trackers

ROOT = Path(__file__).parents[2]
Open = Callable[..., Outbox]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Open]:
    """``outbox(tracker)``: one whose tracker has the test's folder."""
    opened = []

    def open_outbox(tracker: type, start: dict[str, Any] | None = None, **options: Any) -> Outbox:
        kind = f"{tracker.__module__}:{tracker.__qualname__}"
        opened.append(Outbox("Fake", kind, {"folder": str(tmp_path), **(start or {})}, **options))
        return opened[-1]

    yield open_outbox
    for each in opened:
        if each.process.poll() is None:
            each.process.kill()


def steps(n: int, first: int = 1) -> list[Event]:
    return [StepDone(i, loss=1 / i, lr=1e-3, grad_norm=1.0, tokens=64, seconds=0.01) for i in range(first, first + n)]


def told(outbox: Outbox, events: list[Event]) -> list[str]:
    return [notice.says for event in events for notice in outbox(event)]  # type: ignore[attr-defined]


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def diary(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "diary.jsonl").read_text().splitlines()]


def test_a_tracker_gets_every_event_as_metrics_jsonl_has_it(outbox: Open, tmp_path: Path) -> None:
    events = [RunStarted(0, 300, 64), *steps(300), RunDone(300, 0.5)]
    box = outbox(fake_trackers.Diary, patience=30)
    assert told(box, events) == []
    assert diary(tmp_path) == [*(record(event) for event in events), {"event": "closed"}]
    assert box.process.returncode == 0


@pytest.mark.parametrize(
    ("tracker", "says"),
    [
        (fake_trackers.RefusesToStart, "Fake: off: no route to host"),
        (fake_trackers.RefusesLines, "Fake: off: no step_done"),
        (fake_trackers.RefusesToEnd, "Fake: off: disk full"),
        (fake_trackers.Exits, "Fake: off: it ended by itself"),
        (fake_trackers.Crashes, "Fake: off: its process ended; training goes on without it"),
    ],
)
def test_a_tracker_that_fails_is_switched_off_with_one_notice(outbox: Open, tracker: type, says: str) -> None:
    box = outbox(tracker, patience=30)
    notices = told(box, steps(3))
    if tracker is not fake_trackers.RefusesToEnd:
        box.process.wait(30)
    notices += told(box, [*steps(1000, first=4), RunDone(1003, 0.5)])
    assert notices == [says]
    box.close()
    assert told(box, steps(1)) == []


def test_what_a_tracker_prints_is_seen_by_nobody(outbox: Open, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    box = outbox(fake_trackers.Prints, patience=30)
    assert told(box, [*steps(20), RunDone(20, 0.5)]) == []
    assert len(diary(tmp_path)) == 22
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "tracker",
    [
        fake_trackers.HangsAtStart,
        fake_trackers.HangsOnLines,
        fake_trackers.HangsAtTheEnd,
        fake_trackers.LeavesThreadsAndHooksBehind,
    ],
)
@pytest.mark.parametrize("end", [RunDone(3, 0.5), Stopped(3, 15)], ids=["done", "stopped"])
def test_a_tracker_that_hangs_is_left_behind_and_ends_by_itself(
    outbox: Open, tmp_path: Path, tracker: type, end: Event
) -> None:
    box = outbox(tracker, patience=0.3, grace=1)
    assert until((tmp_path / "pid").exists, 30)
    assert told(box, steps(3)) == []
    began = time.monotonic()
    notices = told(box, [end])
    assert time.monotonic() - began < 2
    assert notices[:1] == ["Fake: not done 0.3 s after the run; left to itself for at most 1 s"]
    assert until(lambda: is_gone(int((tmp_path / "pid").read_text())), 10)


def test_events_cost_the_same_whether_the_tracker_takes_them_or_hangs(outbox: Open, tmp_path: Path) -> None:
    """Below 1% of a step of 25 ms; the bound is generous, since tests share the machine."""
    medians = {}
    for tracker in (fake_trackers.Diary, fake_trackers.HangsOnLines):
        box = outbox(tracker, capacity=500)
        seconds = []
        for event in steps(3000):
            began = time.perf_counter()
            assert box(event) == []
            seconds.append(time.perf_counter() - began)
        medians[tracker.__name__] = statistics.median(seconds)
    assert max(medians.values()) < 250e-6, medians


def test_a_full_queue_drops_the_oldest_and_the_end_says_how_many(outbox: Open, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    box = outbox(fake_trackers.Diary, {"wait_for": str(gate)}, capacity=50, patience=30)
    events = steps(5000)  # a megabyte, of which the pipe takes a part
    assert told(box, events) == []
    gate.touch()
    (notice,) = told(box, [RunDone(5000, 0.5)])
    received = [fields["iter"] for fields in diary(tmp_path) if fields["event"] == "step_done"]
    lost = 5000 - len(received)
    assert lost > 1000
    assert notice == f"Fake: {lost:,} lines were dropped, it took them too slowly; metrics.jsonl has them all"
    assert received == sorted(set(received))
    assert received[-49:] == list(range(4952, 5001)), "the newest are there; one place of the 50 is RunDone's"


@pytest.mark.parametrize("tracker", [fake_trackers.Diary, fake_trackers.HangsOnLines], ids=lambda t: t.__name__)
def test_a_killed_run_leaves_no_tracker_behind(tmp_path: Path, tracker: type) -> None:
    program = f"""
import os, signal
from tests.track.test_trackers import steps, told
from gptmill.track.outbox import Outbox
box = Outbox("Fake", "tests.track.fake_trackers:{tracker.__name__}", {{"folder": {str(tmp_path)!r}}}, grace=1)
told(box, steps(10))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == -signal.SIGKILL
    assert until((tmp_path / "pid").exists, 30)
    assert until(lambda: is_gone(int((tmp_path / "pid").read_text())), 10)
    if tracker is fake_trackers.Diary:
        assert [fields["event"] for fields in diary(tmp_path)] == ["step_done"] * 10 + ["closed"], (
            "what was sent is kept"
        )


def test_a_tracker_outlives_the_signals_that_a_scheduler_and_a_keyboard_send_to_all(
    outbox: Open, tmp_path: Path
) -> None:
    box = outbox(fake_trackers.Diary, patience=30)
    assert until((tmp_path / "pid").exists, 30)
    os.kill(box.process.pid, signal.SIGTERM)
    assert os.getsid(box.process.pid) != os.getsid(0), "Ctrl-C does not reach it"
    assert told(box, [*steps(3), Stopped(3, 15)]) == []
    assert len(diary(tmp_path)) == 5
