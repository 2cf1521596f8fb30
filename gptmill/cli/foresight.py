"""What a list of runs would be and take: for a dry run, and for what their plans warn of."""

from __future__ import annotations

import json as json_format
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gptmill.cli.compare import print_tables
from gptmill.cli.parts import trace_held
from gptmill.cli.plan import planner_of
from gptmill.cli.plan_figures import why_no_time
from gptmill.cli.plan_page import sentence
from gptmill.cli.say import say
from gptmill.config.resolve import Resolved
from gptmill.errors import GptmillError
from gptmill.plan.hardware import detect_machine
from gptmill.plan.outlook import outlook
from gptmill.plan.types import Plan
from gptmill.report.tables import NONE, Table, known
from gptmill.study.record import Run
from gptmill.units import count, duration

AMOUNTS = ("iters", "tokens", "seconds", "usd")


@dataclass(frozen=True)
class Foreseen:
    """A run by its plan. None: not known.

    Args:
        doubts: why something is not.
    """

    run: Run
    iters: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    usd: float | None = None
    doubts: tuple[str, ...] = ()


def list_runs(
    runs: Sequence[Run], resolved: Sequence[Resolved], *, places: int, json: bool, columns: Sequence[str] = ()
) -> int:
    """Print what every run would be and take, one at a time on this machine; returns the exit code.

    Args:
        places: how many would be carried out at a time.
        columns: settings to be shown that the runs' names do not tell.
    """
    found = foresee(runs, resolved)
    if json:
        listed = [
            {"id": f.run.id, "settings": dict(f.run.settings), **{name: getattr(f, name) for name in AMOUNTS}}
            for f in found
        ]
        whole = {"runs": listed, "together": _sums(found), "at_a_time": places, "not_known": _doubts(found)}
        print(json_format.dumps(whole, allow_nan=False))
    else:
        print_tables([foreseen_table(found, places, columns)])
    return 0


def foresee(runs: Sequence[Run], resolved: Sequence[Resolved]) -> list[Foreseen]:
    """What each run would be and take; says why one cannot be planned, and what plans warn of."""
    found = []
    remarks: dict[str, None] = {}
    plans = [foresee_plan(each) for each in resolved]
    for run, plan in zip(runs, plans, strict=True):
        if isinstance(plan, GptmillError):
            remarks |= dict.fromkeys(plan.problems)
            found.append(Foreseen(run))
            continue
        ahead = outlook(plan, trace=trace_held)
        usd, doubts = ahead.cost.usd if ahead.cost else None, []
        if ahead.time is None:
            doubts.append(f"time: {why_no_time(plan)}; `gptmill plan CONFIG --probe` measures it")
        if usd is None:
            doubts.append(f"USD: no listed price of {plan.device_name}; `gptmill plan CONFIG --price` takes yours")
        seconds = ahead.time.seconds if ahead.time else None
        tokens = plan.max_iters * plan.tokens_per_iter
        found.append(Foreseen(run, plan.max_iters, tokens, seconds, usd, tuple(doubts)))
    say(*remarks)
    warn(plans)
    return found


def foresee_plan(resolved: Resolved) -> Plan | GptmillError:
    """The plan of a run on this machine by itself, or why there is none."""
    try:
        planner, _ = planner_of(resolved, 1)
        return planner(detect_machine(resolved.config.device, demanded=False))
    except GptmillError as error:
        return error


def warn(plans: Iterable[Plan | GptmillError]) -> None:
    """Say what plans warn of, once for all that agree."""
    listed = list(plans)
    found = Counter(
        sentence(piece)
        for plan in listed
        if isinstance(plan, Plan)
        for piece in plan.advice
        if piece.level == "warning"
    )
    say(*(f"warning, {n} of {runs_in_words(len(listed))}: {says}" for says, n in found.items()))


def foreseen_table(found: Sequence[Foreseen], places: int, columns: Sequence[str]) -> Table:
    """The runs as a table, with their sum."""
    rows = [[f.run.id, *(str(f.run.settings.get(name)) for name in columns), *_amounts(vars(f))] for f in found]
    beside = min(places, len(found)) > 1
    if len(found) > 1:
        rows.append(["one after the other" if beside else "together", *[""] * len(columns), *_amounts(_sums(found))])
    how = "" if len(found) < 2 else f", {places} at a time" if beside else ", one after the other"
    header = ["run", *columns, "steps", "tokens", "time", "USD"]
    return Table(f"{runs_in_words(len(found))}{how}", header, rows, 1 + len(columns), "; ".join(_doubts(found)))


def runs_in_words(n: int) -> str:
    return f"{n:,} run{'s' * (n != 1)}"


def _amounts(of: Mapping[str, Any]) -> list[str]:
    return [
        known(of["iters"], "{:,}"),
        count(of["tokens"]) if of["tokens"] is not None else NONE,
        duration(of["seconds"]) if of["seconds"] is not None else NONE,
        known(of["usd"], "{:,.2f}"),
    ]


def _sums(found: Sequence[Foreseen]) -> dict[str, float | None]:
    return {name: _sum(getattr(each, name) for each in found) for name in AMOUNTS}


def _sum(numbers: Iterable[float | None]) -> float | None:
    """None when one of them is not known."""
    listed = list(numbers)
    return None if any(n is None for n in listed) else sum(n for n in listed if n is not None)


def _doubts(found: Sequence[Foreseen]) -> list[str]:
    return list(dict.fromkeys(doubt for each in found for doubt in each.doubts))
