"""Checkpoints that are written while training goes on, as those of large models are: kills at their calls and at random."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.reliability.guards import save_behind
from benchmarks.reliability.runs import INTERVAL, Workshop
from benchmarks.reliability.storm import storm_of
from benchmarks.reliability.syscalls import kill_everywhere

ONE_IN = 4  # of the calls: the order of two threads is another one each time
KILLS = 100


def trial(shop: Workshop) -> dict[str, Any]:
    (calls := shop.folder / "calls").mkdir()
    traced = dataclasses.replace(shop, folder=calls, share=shop.share / ONE_IN)
    figures = {
        "calls": kill_everywhere(traced, save_behind, in_order=False),
        "storm": storm_of(shop, shop.count(KILLS), save_behind, most=2 * INTERVAL),  # one is written during the next
    }
    return {"good": all(part["good"] for part in figures.values()), **figures}
