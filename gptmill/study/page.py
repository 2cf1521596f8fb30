"""The page of an ablation: what may be said of each arm, on what it rests, and how it came about. Drawn without scripts,
so that it is small enough to keep beside a paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gptmill.report.compare_page import N_COLOURS
from gptmill.report.page import render
from gptmill.report.svg import Band, Interval, bands, forest
from gptmill.report.traces import axis_title
from gptmill.study.outcome import Logs, curve, lead
from gptmill.study.tables import different, every_run, noise, spent
from gptmill.units import count, duration, flops

if TYPE_CHECKING:
    import numpy as np

AXES = ("tokens", "flops", "time", "steps")
CALLED = {"flops": "FLOP"}
QUIET = ("baseline", "no difference seen", "same runs")
EARLY = 0.1  # of a run: the losses of its beginning would leave no room for the rest
DASHES = ("", "6 3", "2 3")


def study_page(found: dict[str, Any], logs: Logs, *, command: str, title: str = "gptmill ablate") -> bytes:
    """Args: found: what ``outcome`` says. command: the line that makes this study."""
    colours = {arm["arm"]: f"--run{n % N_COLOURS}" for n, arm in enumerate(found["arms"])}
    dashes = {arm["arm"]: DASHES[n // N_COLOURS % len(DASHES)] for n, arm in enumerate(found["arms"])}
    others = [arm for arm in found["arms"] if arm["arm"] != found["baseline"]]
    return render(
        "study.html",
        title=title,
        figures={},
        command=command,
        found=found,
        noise=noise(found),
        headline=headline(found),
        size=size(found),
        facts=facts(found),
        others=others,
        colours=colours,
        forest=forest(
            [_row(arm, found, colours) for arm in others],
            x_title=f"difference from {found['baseline']} [nats/token]; left is better",
        ),
        losses=_views(found, lambda axis: _losses(logs, axis, colours, dashes)),
        leads=_views(found, lambda axis: _leads(logs, found["baseline"], axis, colours, dashes)),
        tables=[spent(found), *([different(found)] if found["differences"] else [])],
        runs=every_run(found),
    )


def headline(found: dict[str, Any]) -> str:
    """Who won, if anyone: the one sentence that a reader will remember."""
    if not found["comparable"]:
        return "Not comparable"
    by = {word: [arm["arm"] for arm in found["arms"] if arm["verdict"] == word] for word in ("better", "worse")}
    said = [f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {word}" for word, names in by.items() if names]
    if said:
        return f"{'; '.join(said)} than {found['baseline']}"
    judged = [arm for arm in found["arms"] if arm["verdict"] in ("no difference seen", "same runs")]
    return "No difference seen" if judged else "Too early to tell"


def size(found: dict[str, Any]) -> str:
    """What the finding holds for: this size, this text, these seeds."""
    base = found["arms"][0]
    done = [run for run in base["runs"] if run["finished"]]
    if not done or not base["params"]:
        return "No run of the baseline has ended yet"
    tokens = sum(run["tokens"] or 0 for run in done) / len(done)
    per = tokens / base["params"]
    runs = sum(run["finished"] for arm in found["arms"] for run in arm["runs"])
    return (
        f"{runs} run{'s' * (runs != 1)} of {count(base['params'])} parameters on {count(tokens)} tokens ({per:.2g} tokens per parameter; about 20 are "
        "optimal). What holds here need not hold for a larger model or a longer run"
    )


def facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    every = [run for arm in found["arms"] for run in arm["runs"]]
    seconds = [run["seconds"] for run in every if run["seconds"]]
    work = [run["flops"] for run in every if run["flops"]]
    read = found["evaluation"]
    rows = [
        ("arms", str(len(found["arms"]))),
        ("seeds of each", str(len(found["seeds"]))),
        ("equal for all", CALLED.get(found["view"], found["view"])),
        ("an evaluation reads", f"{count(read['tokens'])} tokens, {read['share']:.0%} of the text" if read else ""),
        ("training time of all", duration(sum(seconds)) if seconds else ""),
        ("training FLOP of all", flops(sum(work)) if work else ""),
    ]
    return [row for row in rows if row[1]]


def _row(arm: dict[str, Any], found: dict[str, Any], colours: dict[str, str]) -> Interval:
    base = {run["seed"]: run["val_loss"] for run in found["arms"][0]["runs"]}
    pairs = [(run["val_loss"], base.get(run["seed"])) for run in arm["runs"]] if arm["paired"] else []
    points = [loss - other for loss, other in pairs if loss is not None and other is not None]
    return Interval(arm["arm"], colours[arm["arm"]], arm["difference"], arm["low"], arm["high"], points)


def _views(found: dict[str, Any], draw: Callable[[str], str | None]) -> list[tuple[str, str]]:
    """(name of the axis, drawing), that of the study's view first."""
    order = sorted(AXES, key=lambda axis: axis != found["view"])
    return [(CALLED.get(axis, axis), drawing) for axis in order if (drawing := draw(axis)) is not None]


def _losses(logs: Logs, axis: str, colours: dict[str, str], dashes: dict[str, str]) -> str | None:
    found = {name: curve(runs, axis) for name, runs in logs.items()}
    drawn = [
        _band(name, colours[name], dashes[name], x_N, losses_SN)
        for name, (x_N, losses_SN) in found.items()
        if len(x_N) > 1
    ]
    return _drawing(drawn, axis, "validation loss [nats/token]") if drawn else None


def _leads(logs: Logs, baseline: str, axis: str, colours: dict[str, str], dashes: dict[str, str]) -> str | None:
    found = {name: lead(runs, logs.get(baseline, {}), axis) for name, runs in logs.items() if name != baseline}
    drawn = [
        _band(name, colours[name], dashes[name], x_N, lead_SN) for name, (x_N, lead_SN) in found.items() if len(x_N) > 1
    ]
    return _drawing(drawn, axis, f"loss minus that of {baseline}", zero=True) if drawn else None


def _band(name: str, colour: str, dash: str, x_N: np.ndarray, seeds_SN: np.ndarray) -> Band:
    mean, low, high = (values_N.tolist() for values_N in (seeds_SN.mean(0), seeds_SN.min(0), seeds_SN.max(0)))
    return Band(name, colour, x_N.tolist(), mean, low, high, dash)


def _drawing(drawn: list[Band], axis: str, y_title: str, *, zero: bool = False) -> str:
    late = [abs(y) for b in drawn for x, *ys in zip(b.x, b.low, b.high) for y in ys if x >= EARLY * b.x[-1]]
    x_title, unit = axis_title(axis, max(band.x[-1] for band in drawn))
    tick = {
        "tokens": count,
        "steps": lambda x: f"{x:,.0f}",
        "flops": lambda x: flops(x).removesuffix("FLOP") if x else "0",
        "time": lambda x: f"{x:g}",
    }[axis]
    scaled = [replace(band, x=[x / unit for x in band.x]) for band in drawn]
    return bands(scaled, x_title=x_title, y_title=y_title, tick=tick, top=max(late), zero=zero)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
