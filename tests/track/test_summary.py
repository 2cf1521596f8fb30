"""What a run says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gptmill.track.summary import Summary, forget_peak, peak_host_memory


def test_peak_memory_is_this_processs_own_and_not_that_of_a_larger_one_that_started_it() -> None:
    ask = "from gptmill.track.summary import peak_host_memory; print(peak_host_memory())"
    start = f"import subprocess, sys; b = b'1' * 2**29; subprocess.run([sys.executable, '-c', {ask!r}], check=True)"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True)
    assert 2**22 < int(done.stdout) < 2**28


def test_peak_memory_counts_what_was_held_once() -> None:
    before = peak_host_memory()
    held = b"1" * (before + 2**26)
    most = peak_host_memory()
    assert most >= len(held)
    del held
    forget_peak()
    assert not Path("/proc/self/clear_refs").exists() or peak_host_memory() < most - 2**25


T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def diary(folder: Path, *lines: tuple[float, dict[str, Any]]) -> dict[str, Any]:
    """The summary of a run whose metrics.jsonl has these lines, each at its second."""
    with open(folder / "metrics.jsonl", "w") as file:
        for second, fields in lines:
            file.write(json.dumps({"time": (T0 + timedelta(seconds=second)).isoformat(), **fields}) + "\n")
    summary = Summary(
        folder, params=1, flops_per_token=6, unigram_entropy=3.0, weights_sha256=str, peak_memory=lambda: 0
    )
    return summary.result()


def started(at: int) -> dict[str, Any]:
    return {"event": "run_started", "iter": at}


def stepped(at: int, seconds: float, mfu: float | None = None) -> dict[str, Any]:
    times = {"data": 0.1 * seconds, "compute": 0.6 * seconds, "communication": 0.0, "optimizer": 0.2 * seconds}
    return {
        "event": "step_done", "iter": at, "time_ms": seconds * 1e3, "tokens": 100, "loss": 2.0, "mfu": {"mfu": mfu},
        "times_ms": {name: value * 1e3 for name, value in times.items()},
    }  # fmt: skip


# by hand: 30 s of compiling, five steps of 1 s, an evaluation of 2 s, a checkpoint of 1 s, half a second of nothing;
# a kill; an hour later the last two of them again, after one second of start-up work
RUN = [
    (0, started(0)), (30, stepped(1, 30)), (31, stepped(2, 1)), (32, stepped(3, 1)),
    (34, {"event": "eval_done", "iter": 3, "val_loss": 2.0, "seconds": 2.0}),
    (35, {"event": "checkpoint_saved", "iter": 3, "seconds": 1.0}),
    (36, stepped(4, 1)), (37, stepped(5, 1)), (38.5, stepped(6, 1)),
    (3638.5, started(3)), (3640.5, stepped(4, 2)), (3641.5, stepped(5, 1)), (3642.5, stepped(6, 1)),
]  # fmt: skip


def test_every_second_of_wall_time_is_accounted_for(tmp_path: Path) -> None:
    result = diary(tmp_path, *RUN)
    split = result["time_split"]
    assert result["wall_seconds"] == pytest.approx(38.5 + 4)
    assert sum(split.values()) == pytest.approx(result["wall_seconds"])
    assert (split["warmup"], split["evaluation"], split["checkpoint"]) == pytest.approx((30 + 2, 2, 1))
    steps = 7  # that were not the first of a process, the two that came again included
    assert (split["data"], split["compute"], split["optimizer"]) == pytest.approx(
        (0.1 * steps, 0.6 * steps, 0.2 * steps)
    )
    assert split["other"] == pytest.approx(0.1 * steps + 0.5)


def lost(at: int, action: str) -> dict[str, object]:
    return {"event": "interrupted", "iter": at, "kind": "hung", "says": "", "sequences": [0, 1], "action": action}


def test_what_a_supervisor_starts_again_costs_wall_time_and_what_a_person_does_costs_none(tmp_path: Path) -> None:
    alive, (_, again), *rest = RUN[:9], *RUN[9:]
    for name in ("again", "stopped", "left"):
        (tmp_path / name).mkdir()
    hung = [
        *alive,
        (48.5, lost(6, "restart")),
        (55, again),
        *((seconds - 3638.5 + 55, fields) for seconds, fields in rest),
    ]
    result = diary(tmp_path / "again", *hung)
    assert result["time_split"]["restart"] == pytest.approx(10 + 6.5)
    assert result["wall_seconds"] == pytest.approx(59) == sum(result["time_split"].values())
    stopped = diary(tmp_path / "stopped", *alive, (48.5, lost(6, "stop")), *RUN[9:])
    assert stopped["time_split"]["restart"] == pytest.approx(10) and stopped["wall_seconds"] == pytest.approx(48.5 + 4)
    abandoned = diary(tmp_path / "left", *alive, (48.5, lost(6, "restart")), (86400, again))
    assert abandoned["wall_seconds"] == pytest.approx(48.5)


def test_a_pause_before_other_settings_are_asked_for_costs_no_wall_time(tmp_path: Path) -> None:
    (started_again, _), *_ = RUN[9:]
    changed = (started_again - 0.5, {"event": "plan_changed", "iter": 4, "changes": {"max_iters": [6, 8]}})
    result = diary(tmp_path, *RUN[:9], changed, *RUN[9:])
    assert result["wall_seconds"] == pytest.approx(38.5 + 4) == sum(result["time_split"].values())


def test_goodput_is_what_is_left_of_wall_time_after_start_up_waits_and_lost_steps(tmp_path: Path) -> None:
    result = diary(tmp_path, *RUN)
    assert result["iters"] == 6 and result["seconds"] == pytest.approx(6)  # compiling counts no more than a step
    assert result["goodput"] == pytest.approx(6 / 42.5)


def test_mfu_is_the_median_of_steps_after_warm_up(tmp_path: Path) -> None:
    shares = [None] * 5 + [0.30, 0.34, 0.31, 0.02, 0.33]  # one step waited for something
    lines = [(float(at), stepped(at, 1, mfu)) for at, mfu in enumerate(shares, 1)]
    assert diary(tmp_path, (0, started(0)), *lines)["mfu"] == pytest.approx(0.31)


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    result = diary(tmp_path)
    assert result["mfu"] is result["goodput"] is result["tokens_per_second"] is None and result["wall_seconds"] == 0
    damaged = [(0.0, {"event": "step_done", "iter": 1, "time_ms": "x", "times_ms": 3, "mfu": 7, "time": "yesterday"})]
    assert diary(tmp_path, *damaged)["mfu"] is None
