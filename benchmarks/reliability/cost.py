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
    processor = sum(row["processor_seconds"] for row in recorded)
    return (
        f"The {len(everything)} parts took {one_by_one / 60:.0f} minutes one after the other; {JOBS} at a time, as they are run, "
        f"that makes {beside / 60:.0f} by the clock. They took {processor / 60:.0f} minutes of processor time, at loads of "
        f"{min(loads):.0f} to {max(loads):.0f} on two cores."
    )


def ends_after(seconds: list[float], jobs: int = JOBS) -> float:
    """When the last one ends of parts that are begun in this order, each as soon as one of ``jobs`` places is free."""
    free = [0.0] * jobs
    for each in seconds:
        free[free.index(min(free))] += each
    return max(free)
