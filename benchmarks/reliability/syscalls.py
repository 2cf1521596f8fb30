"""SIGKILL at every system call that a run makes on its checkpoints, and at every one that changes another of its files.

The run has checkpoints at steps 5 and 10, continues to step 15, saves there, moves ``best``, retires the oldest and
writes its report: every instant of that is tried, and each must leave a verified checkpoint no older than the last
that was said to be saved, nothing half there, and the same command must end with the undisturbed weights. Of the calls that
copy the code to ``source/``, several hundred, one in ten.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.reliability.judged import lost
from benchmarks.reliability.runs import Run, Workshop
from benchmarks.reliability.tracer import KILL, Judge, Touch, follow

BEFORE, AFTER = 10, 15  # steps: where the run is taken up, and where it ends
BASE = ("--keep_last_n_snapshots=2", f"--eval_interval={BEFORE // 2}", f"--max_iters={BEFORE}")
UNIQUE = r"\.[a-z0-9_]{8}(?=/|$)|\d{8}_\d{6}"


def trial(shop: Workshop) -> dict[str, Any]:
    return kill_everywhere(shop)


def kill_everywhere(
    shop: Workshop, before: Callable[[], None] = lambda: None, *, in_order: bool = True
) -> dict[str, Any]:
    """Try every call, or of a share of the trials every so many.

    Args:
        before: what the killed process does first, such as to remove a guard.
        in_order: the calls come in the same order each time, as they do where one thread makes them all.
    """
    base = Run(shop.folder / "base", shop.data, BASE, before)
    base.complete()
    longer = f"--max_iters={AFTER}"
    undisturbed = base.copy(shop.folder / "undisturbed", longer)
    expected = undisturbed.complete()["weights_sha256"]
    recorded = base.copy(shop.folder / "run", longer, before=before)
    code, calls = follow(recorded.train, recorded.folder)
    assert code == 0, recorded.complaint()
    shutil.rmtree(recorded.folder)
    instants = chosen(calls, shop.share)
    killed: list[Touch] = []
    failures: list[str] = []
    for instant in instants:
        run = base.copy(shop.folder / "run", longer, before=before)
        _, made = follow(run.train, run.folder, kill_at(instant))
        run.before = lambda: None
        killed += made[instant : instant + 1]
        failures += [f"killed at {shown(made[-1])}: {problem}" for problem in lost(run, expected)[:1]]
        shutil.rmtree(run.folder)
    as_recorded = sum(shown(touch) == shown(calls[touch.number]) for touch in killed)
    kinds = Counter(touch.call for touch in killed)
    in_checkpoints = sum(map(on_checkpoints, killed))
    print(
        f"  {len(killed)} calls on the run folder, {in_checkpoints} of them on checkpoints and best; killed at each: "
        f"{len(failures)} lost anything",
        *failures[:10],
        sep="\n  ",
        flush=True,
    )
    return {
        "good": not failures and (as_recorded == len(instants) or not in_order),
        "calls": len(killed),
        "calls_on_checkpoints": in_checkpoints,
        "calls_as_recorded": as_recorded,
        "changing_calls": sum(touch.changes for touch in killed),
        "kinds": dict(kinds.most_common()),
        "failures": failures[:20],
    }


def kill_at(number: int) -> Judge:
    return lambda touch: KILL if touch.number == number else None


def chosen(calls: list[Touch], share: float) -> list[int]:
    """The numbers of the calls to be killed at."""
    changes = [touch.number for touch in calls if touch.changes and not on_checkpoints(touch)]
    copies = [number for number in changes if re.match(r"\.?source\b", where(calls[number]))]
    others = {touch.number for touch in calls if on_checkpoints(touch)} | set(changes) - set(copies)
    return sorted([*others, *copies[::10]])[:: round(1 / share)]


def on_checkpoints(touch: Touch) -> bool:
    return re.match(r"checkpoints\b|\.?best\b", where(touch)) is not None


def where(touch: Touch) -> str:
    """The path inside the run folder."""
    return touch.path.partition("/run")[2].lstrip("/")


def shown(touch: Touch) -> str:
    """A call without what makes a temporary name, or one with a time in it, unique."""
    return f"{touch.call} {re.sub(UNIQUE, '', where(touch))}"
