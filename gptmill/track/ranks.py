"""How the processes of a run kept pace with each other, from its ``ranks_timed`` records."""

from __future__ import annotations

import math
from statistics import median_low
from typing import Any

SLOWER = 1.25  # times the median of all: worth a line at the end


class RankTimes:
    """Adds up what each rank took alone: means of the records' medians and 95th percentiles, weighted by steps.

    A record of another number of ranks begins anew: the run went on elsewhere.
    """

    def __init__(self) -> None:
        self._hosts: list[str] = []
        self._steps = 0
        self._p50: list[float] = []  # ms x steps, by rank
        self._p95: list[float] = []

    def add(self, fields: dict[str, Any]) -> None:
        """Take one record; a damaged one counts as none."""
        if fields["event"] != "ranks_timed":
            return
        hosts, steps = fields.get("hosts"), fields.get("steps")
        p50, p95 = _numbers(fields.get("p50_ms")), _numbers(fields.get("p95_ms"))
        if (
            not hosts
            or not isinstance(hosts, list)
            or type(steps) is not int
            or steps < 1
            or not len(hosts) == len(p50) == len(p95)
        ):
            return
        if len(p50) != len(self._p50):
            self._steps, self._p50, self._p95 = 0, [0.0] * len(p50), [0.0] * len(p50)
        self._hosts = [str(host) for host in hosts]
        self._steps += steps
        self._p50 = [total + steps * ms for total, ms in zip(self._p50, p50)]
        self._p95 = [total + steps * ms for total, ms in zip(self._p95, p95)]

    def result(self) -> dict[str, Any] | None:
        """By rank, and the slowest; None where nothing is known, as of a run of one process."""
        if not self._p50:
            return None
        p50, p95 = ([total / self._steps for total in totals] for totals in (self._p50, self._p95))
        return {"hosts": self._hosts, "p50_ms": p50, "p95_ms": p95, "slowest": p50.index(max(p50))}


def slowest(ranks: dict[str, Any] | None, least: float = 0.0) -> str | None:
    """A sentence about the slowest rank, without its end; None where it is less than so many times the median of all."""
    if ranks is None:
        return None
    rank, usual = ranks["slowest"], median_low(ranks["p50_ms"])
    took = ranks["p50_ms"][rank]
    if took < least * usual:
        return None
    return f"rank {rank} on {ranks['hosts'][rank]}: {took:.1f} ms of each step alone, median of all {usual:.1f} ms"


def _numbers(told: Any) -> list[float]:
    if not isinstance(told, list) or not all(isinstance(ms, int | float) and 0 <= ms < math.inf for ms in told):
        return []
    return told
