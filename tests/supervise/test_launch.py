"""``gptmill launch`` through the real command: who may connect, what dies or hangs, what is said and with which code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.cli.run import SMALL, gptmill, prepare_tiny
from tests.supervise.processes import family, listeners, rank_of, start, wait_for

LONG = [
    *SMALL, "--gradient_accumulation_steps=2", "--max_iters=100000", "--eval_interval=20", "--dtype=float32",
    "--log_interval=1000",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("launch")
    prepare_tiny(made)
    return made


def stop_amid_a_step(rank: int, metrics: Path) -> None:
    """Stop a process until it is taken for hung; one that was just writing records would be waited for, so another time."""
    for attempt in range(1, 6):
        with contextlib.suppress(ProcessLookupError):  # it was taken for hung, and the new ones are slow to start
            os.kill(rank, signal.SIGSTOP)
        try:
            return wait_for(metrics, '"event": "run_started"', 3, seconds=20)
        except AssertionError:
            if attempt == 5:
                raise
            with contextlib.suppress(ProcessLookupError):
                os.kill(rank, signal.SIGCONT)
            time.sleep(0.1)


def test_a_run_outlives_a_killed_and_a_stopped_process_and_ends_when_told(folder: Path) -> None:
    metrics, saved = folder / "two" / "metrics.jsonl", '"event": "checkpoint_saved"'
    supervisor = start(folder, "launch", "--gpus=2", "--hang_after=1", *LONG, "--out_dir=two", "--overwrite")
    wait_for(metrics, saved)
    everybody = family(supervisor.pid)
    assert len(everybody) == 3
    heard = listeners(everybody)
    assert len(heard) >= 3 and all(address.is_loopback for address in heard), heard

    os.kill(rank_of(supervisor.pid, 1), signal.SIGKILL)
    wait_for(metrics, '"event": "run_started"', 2)
    wait_for(metrics, saved, metrics.read_text().count(saved) + 1)
    stop_amid_a_step(rank_of(supervisor.pid, 0), metrics)
    supervisor.terminate()
    _, err = supervisor.communicate(timeout=60)

    assert supervisor.returncode == 128 + signal.SIGTERM, err
    events = [json.loads(line) for line in metrics.open()]
    lost = [event for event in events if event["event"] == "interrupted"]
    assert [event["kind"] for event in lost] == ["died", "hung"], err
    assert "rank 1 ended with SIGKILL; starting again in 1 s\n" in err
    assert "rank 0 was stopped by a signal; starting again in 1 s; stacks of all processes: two/stacks_step_" in err
    (stacks,) = (folder / "two").glob("stacks_step_*.txt")
    first, second = stacks.read_text().split("\nrank 1\n")
    assert "the process did not answer" in first and "train_step" in second
    stopped = events[-1]
    assert stopped["event"] == "stopped" and stopped["signal"] == signal.SIGTERM
    assert (folder / "two" / "checkpoints" / f"step_{stopped['iter']:08}").is_dir()
    assert err.count("resumed from two/checkpoints/step_") == 2
    for process in everybody:
        assert not Path(f"/proc/{process}").exists()


def test_a_listener_for_all_the_world_would_be_seen() -> None:
    with socket.create_server(("0.0.0.0", 0)), socket.create_server(("::", 0), family=socket.AF_INET6):
        assert [str(address) for address in listeners([os.getpid()]) if not address.is_loopback] == ["0.0.0.0", "::"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--n_heads=3"], "--n_heads"),
        (["train", "--n_layer=two"], "--n_layer=two"),
        (["some/train.py", "--n_layer=two"], "--n_layer=two"),
        (["train-lm", "--n_layer=two"], "--n_layer=two"),
        (["--gpus=0"], "--gpus=0: must be more than 0"),
        (["--nodes=2"], "--nodes=2: only with --on=slurm"),
        (["--on=moon"], "moon"),
        (["--on=slurm", "quick", "--overwrite"], "--overwrite: would meet the job's own run"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(tmp_path: Path, words: list[str], says: str) -> None:
    done = gptmill(tmp_path, "launch", *words, PYTHONPROFILEIMPORTTIME="1")
    told = [line for line in done.err.splitlines() if not line.startswith("import time:")]
    assert done.code == 2 and len(told) == 1 and says in told[0], done.err[-1000:]
    assert not any(line.rpartition("|")[2].strip() == "torch" for line in done.err.splitlines())
    assert not list(tmp_path.iterdir())


def test_what_only_a_process_finds_is_said_once_and_not_tried_again(folder: Path) -> None:
    done = gptmill(folder, "launch", "--gpus=2", *LONG, "--gradient_accumulation_steps=3", "--out_dir=wrong")
    lines = done.err.splitlines()
    assert done.code == 2 and len(lines) == 1 and "does not split over 2" in lines[0], done.err
