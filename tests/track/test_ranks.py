"""How the processes of a run kept pace, by hand from a record of it."""

from __future__ import annotations

from typing import Any

import pytest

from gptmill.track.ranks import RankTimes, slowest


def timed(steps: int, p50: list[float]) -> dict[str, Any]:
    hosts = [f"n{rank}" for rank in range(len(p50))]
    twice = [2 * ms for ms in p50]
    return {"event": "ranks_timed", "iter": 9, "steps": steps, "hosts": hosts, "p50_ms": p50, "p95_ms": twice}


def folded(*records: dict[str, Any]) -> dict[str, Any] | None:
    times = RankTimes()
    for fields in records:
        times.add(fields)
    return times.result()


def test_looks_weigh_as_many_steps_as_they_saw_and_the_slowest_is_named() -> None:
    found = folded(timed(10, [4.0, 5.0, 6.0]), timed(30, [4.0, 9.0, 6.0]))
    assert found is not None and found["p50_ms"] == [4.0, 8.0, 6.0] and found["p95_ms"] == [8.0, 16.0, 12.0]
    assert found["slowest"] == 1
    assert slowest(found) == "rank 1 on n1: 8.0 ms of each step alone, median of all 6.0 ms"
    assert slowest(found, least=1.3) is not None and slowest(found, least=1.4) is None is slowest(None)


def test_another_number_of_processes_begins_anew() -> None:
    found = folded(timed(10, [4.0, 5.0, 6.0]), timed(30, [1.0, 2.0]))
    assert found is not None and found["hosts"] == ["n0", "n1"] and found["p50_ms"] == [1.0, 2.0]


@pytest.mark.parametrize(
    "damage",
    [{"hosts": None}, {"hosts": ["n0"]}, {"steps": 0}, {"steps": "9"}, {"p50_ms": [1.0]}, {"p95_ms": [1.0, "x"]},
     {"p50_ms": [-1.0, 2.0]}, {"p50_ms": {"0": 1.0}}, {"hosts": [], "p50_ms": [], "p95_ms": []}],
)  # fmt: skip
def test_a_damaged_record_counts_as_none(damage: dict[str, Any]) -> None:
    whole = timed(10, [4.0, 5.0])
    assert folded(timed(10, [1.0, 1.0]) | damage) is None
    assert folded(whole, timed(10, [1.0, 1.0]) | damage) == folded(whole)
