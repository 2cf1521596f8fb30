"""SIGKILL at random moments, then the same command again, over and over until the run completes.

Each process must continue, redo no more steps than lie between two checkpoints, and the completed run must have the
very weights of one that was never disturbed. Once with processes that have torch imported, so that the moments fall
into training and saving; once with cold starts of ``python -m gptmill``, imports included.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks.reliability.runs import INTERVAL, Run, Workshop, wait

KILLS, COLD_KILLS = 1000, 20


def trial(shop: Workshop) -> dict[str, Any]:
    expected = Run(shop.folder / "undisturbed", shop.data).complete()["weights_sha256"]
    warm = storm(shop, shop.count(KILLS), expected, cold=False)
    cold = storm(shop, shop.count(COLD_KILLS), expected, cold=True)
    return {"good": warm["good"] and cold["good"], "weights_sha256": expected, "warm": warm, "cold": cold}


def storm_of(shop: Workshop, n_kills: int, before: Callable[[], None], most: int = INTERVAL) -> dict[str, Any]:
    """A short one, of processes that do something first, such as to remove a guard."""
    expected = Run(shop.folder / "undisturbed", shop.data).complete()["weights_sha256"]
    return storm(shop, n_kills, expected, cold=False, before=before, allowed=most)


def storm(
    shop: Workshop,
    n_kills: int,
    expected: str,
    *,
    cold: bool,
    before: Callable[[], None] = lambda: None,
    allowed: int = INTERVAL,
) -> dict[str, Any]:
    """Kill runs at random moments until ``n_kills`` processes died, completing every run that was begun.

    Args:
        before: what each process does first.
        allowed: steps that may be taken again after a kill.
    """
    kind = "cold" if cold else "warm"
    began = time.monotonic()
    undisturbed = Run(shop.folder / f"{kind}-length", shop.data, cold=cold).complete()["weights_sha256"]
    length = time.monotonic() - began
    kills, in_training, runs, equal = 0, 0, 0, 0
    redone: list[int] = []
    seconds: list[float] = []
    failures = [] if undisturbed == expected else [f"an undisturbed {kind} run has the weights {undisturbed}"]
    while kills < n_kills:
        runs += 1
        run = Run(shop.folder / f"{kind}-{runs}", shop.data, before=before, cold=cold)
        started: list[float] = []
        while True:
            started.append(time.time())
            pid = run.start()
            if kills < n_kills:
                time.sleep(shop.rng.uniform(0, length))
                os.kill(pid, signal.SIGKILL)  # a process that has ended is still ours to signal until wait()
            code = wait(pid)
            if code != -signal.SIGKILL:
                break
            kills += 1
        if code != 0:
            failures.append(f"run {runs}: exit code {code}: {run.complaint()}")
            continue
        equal += run.printed()["weights_sha256"] == expected
        in_training += len(run.starts()) - 1  # all but the one that completed; the others died before their first step
        redone += run.redone()
        seconds += to_the_next_step(run, started)
    most = max(redone, default=0)
    good = equal == runs and most <= allowed and not failures
    p50, p95 = percentiles(seconds)
    print(
        f"  {kind} starts: {kills} SIGKILLs ({in_training} while training or saving) over {runs} runs of {length:.2f} s: "
        f"{runs - len(failures)}/{runs} completed, {equal}/{runs} with the undisturbed weights; steps redone per kill: "
        f"mean {statistics.mean(redone or [0]):.2f}, most {most}; seconds to the next step: p50 {p50:.2f}, "
        f"p95 {p95:.2f}",
        *failures,
        sep="\n  ",
        flush=True,
    )
    return {
        "good": good,
        "kills": kills,
        "kills_while_training": in_training,
        "runs": runs,
        "completed": runs - len(failures),
        "weights_equal": equal,
        "steps_redone_mean": round(statistics.mean(redone or [0]), 3),
        "steps_redone_most": most,
        "checkpoint_interval": INTERVAL,
        "seconds_to_next_step_p50": round(p50, 3),
        "seconds_to_next_step_p95": round(p95, 3),
        "run_seconds": round(length, 2),
        "failures": failures,
    }


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """The 50th and the 95th; zeros of nothing."""
    ordered = sorted(seconds) or [0.0]
    return statistics.median(ordered), ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]


def to_the_next_step(run: Run, started: list[float]) -> list[float]:
    """For each process after a kill that took a step: seconds from its start to the end of that step."""
    steps = [start.first_step_at for start in run.starts() if start.first_step_at is not None]
    spans = [*pairwise(started), (started[-1], float("inf"))][1:]
    return [at - begin for begin, end in spans for at in steps if begin <= at < end]
