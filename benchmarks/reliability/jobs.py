"""Parts in processes of their own, some at a time, and what each of them cost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability.machine import NotHere
from benchmarks.reliability.runs import fork

Figures = dict[str, Any]


def each(
    parts: list[str], jobs: int, folder: Path, make: Callable[[str, Path], Figures]
) -> Iterator[tuple[str, Figures]]:
    """The figures of every part, as soon as it has ended; of one that broke off, none.

    Args:
        jobs: parts at a time; what one prints beside others is shown when it has ended.
        folder: each part gets a new one in it.
        make: makes a part; raises NotHere where it cannot be made.
    """
    waiting, running = list(parts), dict[int, str]()
    while waiting or running:
        while waiting and len(running) < jobs:
            print(part := waiting.pop(0), flush=True)
            running[_start(part, folder, make, aside=jobs > 1)] = part
        part = running.pop(_first_to_end(running))
        said, found = folder / f"{part}.said", folder / f"{part}.figures"
        if said.exists():
            print(f"{part}:\n{said.read_text()}", end="", flush=True)
        yield part, json.loads(found.read_text()) if found.exists() else {}


def _start(part: str, folder: Path, make: Callable[[str, Path], Figures], *, aside: bool) -> int:
    (mine := folder / part).mkdir()

    def work() -> None:
        if aside:
            os.dup2(os.open(folder / f"{part}.said", os.O_WRONLY | os.O_CREAT), 1)
        began = time.monotonic()
        try:
            figures = make(part, mine)
        except NotHere as reason:
            figures = {"not_here": str(reason)}
        figures["seconds"] = round(time.monotonic() - began, 1)
        figures["processor_seconds"] = round(sum(os.times()[:4]), 1)  # whatever else computes here; its children's too
        (folder / f"{part}.figures").write_text(json.dumps(figures))

    return fork(work)


def _first_to_end(pids: Iterable[int]) -> int:
    while True:
        for pid in pids:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return pid
        time.sleep(0.05)


def verdict(part: str, figures: Figures) -> bool:
    """Say how a part ended; False when it failed. What cannot be made here has not failed."""
    if "not_here" in figures:
        print(f"  {part} not run: {figures['not_here']}", flush=True)
        return True
    if not figures:
        print(f"  {part} FAILED: it broke off, with the error above", flush=True)
        return False
    took = f"{figures['seconds']:.0f} s, {figures['processor_seconds']:.0f} s of processor time"
    print(f"  {part} {'good' if figures['good'] else 'FAILED'} in {took}", flush=True)
    return bool(figures["good"])
