"""A second process on a run folder that one is training in: refused, with exit code 75, and the first never notices."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from benchmarks.reliability.runs import Run, Workshop, wait

SECONDS = 100
BUSY = 75


def trial(shop: Workshop) -> dict[str, Any]:
    return second_processes(shop, shop.count(SECONDS))


def second_processes(shop: Workshop, n: int, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Start ``n`` of them, five while each run trains.

    Args:
        before: what every process does first, such as to remove a guard.
    """
    expected = Run(shop.folder / "undisturbed", shop.data).complete()["weights_sha256"]
    refused, runs, equal, tries = 0, 0, 0, 0
    failures: list[str] = []
    while tries < n:
        runs += 1
        first = Run(shop.folder / f"run-{runs}", shop.data, before=before)
        pid = first.start()
        while not first.starts():
            time.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)  # its lock must hold even while it does nothing
        for _ in range(min(5, n - tries)):
            tries += 1
            second = Run(first.folder, shop.data, before=before, logs=shop.folder / f"second-{tries}")
            code = wait(second.start())
            named = str(pid) in second.complaint()
            refused += code == BUSY and named
            if code != BUSY or not named:
                said = second.complaint().strip().rpartition("\n")[2]
                failures.append(f"a second process ended with exit code {code}: {said}")
        os.kill(pid, signal.SIGCONT)
        code = wait(pid)
        equal += code == 0 and first.printed()["weights_sha256"] == expected and len(first.starts()) == 1
    print(
        f"  {tries} second processes: {refused} refused with exit code {BUSY} and the first one's pid; {equal}/{runs} "
        "first ones ended with the undisturbed weights",
        *failures[:3],
        sep="\n  ",
        flush=True,
    )
    good = refused == tries and equal == runs
    return {"good": good, "tries": tries, "refused": refused, "runs": runs, "weights_equal": equal}
