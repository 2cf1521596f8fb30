"""Would the trials notice? Each guard is taken away in turn, and a trial that passes with it has to fail without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks.reliability.corruption import damaged_runs
from benchmarks.reliability.diverging import diverging_runs
from benchmarks.reliability.guards import GUARDS, Guard
from benchmarks.reliability.power import cut_power
from benchmarks.reliability.runs import Workshop
from benchmarks.reliability.second import second_processes
from benchmarks.reliability.storm import storm_of
from benchmarks.reliability.syscalls import kill_everywhere

Trial = Callable[[Workshop, Guard], dict[str, Any]]
CATCHES: dict[str, tuple[str, Trial]] = {  # guard: the part that must fail without it, and a short form of it
    "fsync": ("power", lambda shop, without: cut_power(shop, 6, without)),
    "fsync of the folder": ("power", lambda shop, without: cut_power(shop, 6, without)),
    "rename": ("syscalls", lambda shop, without: kill_everywhere(part_of(shop, 0.06), without)),
    "SHA-256": ("corruption", lambda shop, without: damaged_runs(part_of(shop, 0.01), without)),
    "lock on the run folder": ("second", lambda shop, without: second_processes(shop, 3, without)),
    "finite check of the loss": ("diverging", lambda shop, without: diverging_runs(shop, 4, without)),
    "finite check of what is saved": ("diverging", lambda shop, without: diverging_runs(shop, 5, without)),
    "step-keyed order": ("storm", lambda shop, without: storm_of(shop, 4, without)),
}


def trial(shop: Workshop) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    for guard, (part, short) in CATCHES.items():
        outcomes: list[bool] = []
        for without in (lambda: None, GUARDS[guard]):
            (folder := shop.folder / f"{len(rows)}-{len(outcomes)}").mkdir()
            outcomes.append(short(dataclasses.replace(shop, folder=folder), without)["good"])
        rows[guard] = {"part": part, "good_with": outcomes[0], "good_without": outcomes[1]}
        print(f"  {guard} removed: {part} {'noticed nothing' if outcomes[1] else 'fails, as it should'}", flush=True)
    caught = sum(row["good_with"] and not row["good_without"] for row in rows.values())
    print(f"  {caught}/{len(rows)} guards removed were noticed")
    return {"good": caught == len(rows), "guards": len(rows), "caught": caught, "rows": rows}


def part_of(shop: Workshop, share: float) -> Workshop:
    return dataclasses.replace(shop, share=share)
