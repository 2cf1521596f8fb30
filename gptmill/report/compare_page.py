"""The page of a comparison: who leads, the curves over each other, and the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gptmill.report.columns import block_means
from gptmill.report.page import render
from gptmill.report.runlog import RunLog
from gptmill.report.tables import tables
from gptmill.report.traces import Figure, axis_title, figure, line, plain, short

if TYPE_CHECKING:
    import numpy as np

N_COLOURS = 8  # --run0 to --run7; more runs take them again, drawn otherwise
DASHES = ("solid", "dash", "dot", "dashdot")
ORDER = ("steps", "tokens", "time", "flops")  # of the buttons


def compare_page(logs: list[RunLog], found: dict[str, Any]) -> bytes:
    """Args: found: what ``compare`` says of the logs."""
    ranked = {run["run"]: n for n, run in enumerate(found["runs"])}
    logs = sorted(logs, key=lambda log: ranked[log.name])
    return render(
        "compare.html",
        title="gptmill compare",
        figures={
            name: drawn
            for name, drawn in (("val", curves(logs, "val")), ("train", curves(logs, "train")))
            if drawn is not None
        },
        headline=headline(found),
        runs=found["runs"],
        tables=tables(found),
    )


def headline(found: dict[str, Any]) -> tuple[str, str]:
    """(who leads, by how much), or why nobody does."""
    runs = [run for run in found["runs"] if run["best_val_loss"] is not None]
    if not runs:
        return "No evaluation yet", "None of the runs has a validation loss."
    first = f"best validation loss {runs[0]['best_val_loss']:.4f} nats/token"
    if len(runs) == 1:
        return runs[0]["run"], first
    if not found["comparable"]:
        return "Not comparable", "; ".join(found["warnings"]) + "."
    lead = runs[1]["best_val_loss"] - runs[0]["best_val_loss"]
    says = f"{first}, {lead:.4f} below {runs[1]['run']}. One run of each: another seed may turn a small lead around."
    return f"{runs[0]['run']} leads", says


def curves(logs: list[RunLog], which: str) -> Figure | None:
    """A curve for each run, over every axis that any of them has."""
    import numpy as np

    ends = {axis: max((log.axes()[axis][-1] for log in logs if axis in log.axes()), default=0.0) for axis in ORDER}
    points = {"val": evaluations, "train": training}[which]
    traces: list[Figure] = []
    x: dict[str, list[list[float | None]]] = {axis: [] for axis, end in ends.items() if end > 0}
    for n, log in enumerate(logs):
        over, loss = points(log)
        if not len(loss):
            continue
        mode = "lines+markers" if which == "val" else "lines"
        trace = line(plain(log.name), np.array([]), loss, f"--run{n % N_COLOURS}", form=".4f", mode=mode)
        trace["line"]["dash"] = DASHES[n // N_COLOURS % len(DASHES)]
        traces.append({**trace, "marker": {"size": 5}})
        for axis in x:
            unit = axis_title(axis, ends[axis])[1]
            x[axis].append(short(over[axis] / unit) if axis in over else [None] * len(loss))
    if not traces or not x:
        return None
    drawn = figure([{**trace, "x": x["steps"][n]} for n, trace in enumerate(traces)], "loss [nats/token]")
    drawn["axes"] = {axis: {"title": axis_title(axis, ends[axis])[0], "x": xs} for axis, xs in x.items()}
    return drawn


def evaluations(log: RunLog) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Validation losses, and where each lies on every axis."""
    import numpy as np

    return {axis: np.array(log.eval_curve(axis)[0]) for axis in log.axes()}, np.array(log.eval_curve()[1])


def training(log: RunLog) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Training losses as means of blocks, and where the middle of each lies on every axis."""
    middles, means, _ = block_means(log.steps["loss"])
    return {axis: values[middles] for axis, values in log.axes().items()}, means
