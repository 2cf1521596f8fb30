"""How long all parts take, from what each of them took by itself."""

from __future__ import annotations

from typing import Any

from benchmarks.reliability import PARTS
from benchmarks.reliability_inputs import PARTS as INPUTS

JOBS = 2


def told(found: dict[str, Any], inputs: dict[str, Any]) -> str:
    """The sum in words."""
    rows = [[kept[part] for part in parts if part in kept] for kept, parts in ((found, PARTS), (inputs, INPUTS))]
    everything = [row for command in rows for row in command]
    recorded = [row for row in everything if "processor_seconds" in row]
    loads = [row["machine"]["load"] for row in recorded if "load" in row["machine"]]
    one_by_one = sum(row["seconds"] for row in everything)
    beside = sum(ends_after([row["seconds"] for row in command]) for command in rows)
    processor, by_clock = (sum(row[key] for row in recorded) for key in ("processor_seconds", "seconds"))
    return (
        f"Each part was measured by itself, on a machine that others used: the {len(everything)} parts took {one_by_one / 60:.0f} minutes "
        f"one after the other, which makes {beside / 60:.0f} by the clock, {JOBS} at a time. The {len(recorded)} whose processor time is "
        f"recorded took {processor / 60:.0f} minutes of it in {by_clock / 60:.0f} by the clock, at loads of {min(loads):.0f} to "
        f"{max(loads):.0f} on two cores."
    )


def ends_after(seconds: list[float], jobs: int = JOBS) -> float:
    """When the last one ends of parts that are begun in this order, each as soon as one of ``jobs`` places is free."""
    free = [0.0] * jobs
    for each in seconds:
        free[free.index(min(free))] += each
    return max(free)
