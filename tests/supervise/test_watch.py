"""Real processes that write signs of life, die, and fall silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptmill.supervise.heartbeat import LONG, RECORD, Phase, beat_file, stack_file
from gptmill.supervise.watch import Watch


def tell(folder: Path, rank: int, phase: Phase, ago: float, patience: float, iter: int = 3, least: float = 0.0) -> None:
    stack_file(folder, rank).touch()
    beat_file(folder, rank).write_bytes(RECORD.pack(time.monotonic() - ago, patience, least, phase, iter, 8, 15))


@pytest.fixture
def two() -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """Two processes that sleep until they are ended."""
    started = {rank: subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for rank in range(2)}
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


def ids(processes: dict[int, subprocess.Popen[bytes]]) -> dict[int, int]:
    return {rank: process.pid for rank, process in processes.items()}


def test_one_that_takes_its_time_keeps_the_alarm_off_for_those_that_wait_for_it(
    two: dict[int, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    watch = Watch(tmp_path, 2)
    watch(ids(two))  # nobody has told anything yet
    tell(tmp_path, 1, Phase.STEP, ago=100, patience=5)
    for phase in (Phase.START, Phase.RECORDS, Phase.EVALUATION):
        tell(tmp_path, 0, phase, ago=100, patience=LONG)
        watch(ids(two))
    assert watch.failure is None and all(process.poll() is None for process in two.values())


def test_when_all_are_silent_for_too_long_all_are_ended_and_the_one_that_was_stopped_is_named(
    two: dict[int, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    two[1].send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, two[1].pid, os.WSTOPPED | os.WNOWAIT)
    tell(tmp_path, 0, Phase.STEP, ago=6.5, patience=5)
    tell(tmp_path, 1, Phase.STEP, ago=6, patience=5, iter=4)
    watch = Watch(tmp_path, 2)
    watch(ids(two))
    found = watch.failure
    assert found and found.hung and not found.final and (found.iter, found.sequences) == (4, (8, 15))
    assert found.found.startswith("nothing moved for 6.") and found.found.endswith("rank 1 was stopped by a signal")
    assert two[1].wait() == -signal.SIGKILL and two[0].wait() in (-signal.SIGKILL, -signal.SIGUSR2)


def test_the_least_silence_is_the_processes_own_or_the_users(
    two: dict[int, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    for rank in range(2):
        tell(tmp_path, rank, Phase.STEP, ago=6, patience=0.1, least=10)
    own, users = Watch(tmp_path, 2), Watch(tmp_path, 2, least=5)
    own(ids(two))
    assert own.failure is None
    users(ids(two))
    assert users.failure and users.failure.hung


def test_the_others_of_one_that_died_of_a_signal_go_at_once_but_one_that_saves_may_finish(
    two: dict[int, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    tell(tmp_path, 0, Phase.RECORDS, ago=0, patience=LONG)
    two[1].kill()
    os.waitid(os.P_PID, two[1].pid, os.WEXITED | os.WNOWAIT)
    saves = subprocess.Popen(
        [sys.executable, "-c", SAVES, str(tmp_path), "1.0"], env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    watch = Watch(tmp_path, 2)
    watch({0: saves.pid, 1: two[1].pid})
    assert (tmp_path / "saved").exists() and saves.wait() == -signal.SIGKILL
    assert (
        watch.failure
        and watch.failure.codes == {1: -signal.SIGKILL}
        and watch.failure.found == "rank 1 ended with SIGKILL"
    )


def test_the_peer_of_one_that_ended_by_itself_may_say_what_it_knows(
    two: dict[int, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    speaks = [subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({t}); exit({code})"]) for t, code in ((0, 75), (1, 3))]  # fmt: skip
    os.waitid(os.P_PID, speaks[0].pid, os.WEXITED | os.WNOWAIT)
    watch = Watch(tmp_path, 2)
    watch({rank: process.pid for rank, process in enumerate(speaks)})
    assert watch.failure and watch.failure.codes == {0: 75, 1: 3}
    assert (
        watch.failure.final and watch.failure.exit_code == 3 and watch.failure.found == "rank 1 ended with exit code 3"
    )
    assert [process.wait() for process in speaks] == [75, 3]  # left for whoever started them


SAVES = """
import sys, time
from pathlib import Path
from gptmill.supervise.heartbeat import RECORD, Phase, beat_file
folder = Path(sys.argv[1])
time.sleep(float(sys.argv[2]))
(folder / "saved").touch()
beat_file(folder, 0).write_bytes(RECORD.pack(time.monotonic(), 1e3, 0.0, Phase.STEP, 3, 8, 15))
time.sleep(60)
"""
