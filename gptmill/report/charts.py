"""A run's charts. Curves of many steps are thinned: of each bucket of neighbours the least and the greatest are drawn, so
no spike is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gptmill.report.columns import Looks, block_means, thin
from gptmill.report.loose import number
from gptmill.report.runlog import RunLog
from gptmill.report.traces import Figure, axis_title, figure, line, plain, short

if TYPE_CHECKING:
    import numpy as np

ACTIVITIES = {
    "compute_ms": "compute",
    "data_ms": "data",
    "communication_ms": "communication",
    "optimizer_ms": "optimizer",
}


def figures(log: RunLog) -> dict[str, Figure]:
    """Every chart that the run has numbers for, by name, in the order of the page."""
    found = {
        "loss": loss(log),
        "lr": curve(log, "lr", "learning rate", form=".2e", mean=False),
        "speed": curve(log, "tokens_per_second", "tokens/s", form=",.0f"),
        "mfu": curve(log, "mfu", "MFU", form=".1%"),
        "memory": memory(log),
        "grad_norm": curve(log, "grad_norm", "gradient norm", form=".3g", log_scale=True),
        "sparsity": curve(log, "sparsity", "share that is zero", form=".1%", mean=False),
        "times": times(log),
        "gradients": heat_map(log.gradients, "norm"),
        "updates": heat_map(log.update_ratios, "update / weight"),
    }
    return {name: figure for name, figure in found.items() if figure}


def loss(log: RunLog) -> Figure | None:
    """Training loss of every step, both losses of every evaluation, and a mark at every alarm; with every axis."""
    import numpy as np

    each = log.steps["loss"]
    axes, traces = axis_scales(log), []
    raw = thin(each)
    middles, means, size = block_means(each)
    if len(raw):
        pale = {"colour": "--train-pale", "width": 1} if size > 1 else {"colour": "--train"}
        traces.append((line("train, each step", raw, each[raw], form=".3f", **pale), raw))
    if len(raw) and size > 1:
        traces.append((line(f"train, mean of {size} steps", middles, means, "--train", form=".3f"), middles))
    for which, name, colour, mode, symbol in (
        ("train_loss", "train, evaluated", "--train", "markers", "circle-open"),
        ("val_loss", "validation", "--val", "lines+markers", "circle"),
    ):
        iters, losses = log.eval_curve("steps", which)
        if iters:
            marker = {"size": 6, "symbol": symbol, "color": colour}
            shown = {"mode": mode, "marker": marker, "cliponaxis": False}
            trace = line(name, np.array(iters), np.array(losses), colour, form=".4f", **shown)
            traces.append((trace, np.array(iters)))
    if log.alarms and len(raw):
        at = np.array([min(alarm["iter"], log.steps.last_iter) for alarm in log.alarms], dtype=float)
        finite = np.flatnonzero(np.isfinite(each))
        y = np.interp(at, log.steps.iters[finite], each[finite])
        says = [plain(f"{alarm.get('kind')}: {alarm.get('says')}")[:300] for alarm in log.alarms]
        marks = {"symbol": "triangle-down", "size": 11, "color": "--alarm", "line": {"width": 1, "color": "--paper"}}
        hover = "%{text}<extra>alarm</extra>"
        more = {"mode": "markers", "marker": marks, "text": says, "hovertemplate": hover}
        traces.append(({**line("alarm", at, y, "--alarm", form=".3f"), **more}, at))
    if not traces or "steps" not in axes:
        return None
    drawn = figure([], "loss [nats/token]")
    drawn["axes"] = {}
    for axis, (title, scale) in axes.items():
        drawn["axes"][axis] = {"title": title, "x": [place(log, trace, where, scale) for trace, where in traces]}
    drawn["data"] = [{**trace, "x": drawn["axes"]["steps"]["x"][n]} for n, (trace, _) in enumerate(traces)]
    return drawn


def axis_scales(log: RunLog) -> dict[str, tuple[str, np.ndarray]]:
    """The title of each axis that the run has, and where each step lies on it, in the unit of the title."""
    found = {}
    for axis, values in log.axes().items():
        title, unit = axis_title(axis, values[-1])
        found[axis] = title, values / unit
    return found


def place(log: RunLog, trace: Figure, where: np.ndarray, scale: np.ndarray) -> list[float | None]:
    """A trace's points on an axis: ``where`` holds indices of steps, or iters for what happens between steps."""
    import numpy as np

    if np.issubdtype(where.dtype, np.integer):
        return short(scale[where])
    return short(np.interp(where, np.append(0, log.steps.iters), np.append(0.0, scale)))


def curve(
    log: RunLog, column: str, title: str, *, form: str, mean: bool = True, log_scale: bool = False
) -> Figure | None:
    """One number over the steps: every step in pale, the mean of blocks above it."""
    values = log.steps[column]
    kept = thin(values)
    if not len(kept):
        return None
    iters = log.steps.iters
    middles, means, size = block_means(values)
    smooth = mean and size > 1
    traces = [line("each step", iters[kept], values[kept], "--line-pale" if smooth else "--line", form=form)]
    if smooth:
        traces[0]["line"]["width"] = 1
        traces.append(line(f"mean of {size} steps", iters[middles], means, "--line", form=form))
    scale: dict[str, Any] = {"type": "log"} if log_scale else {"rangemode": "tozero"}
    if form[-1] in "eg":  # a rate of 600µ is nobody's way to write 6e-4
        scale["exponentformat"] = "e"
    if log_scale and values[kept].min() > 0 and values[kept].max() < 100 * values[kept].min():
        scale["dtick"] = "D2"  # 1, 2, 5: more would not fit
    if form.endswith("%"):
        scale["tickformat"] = ".0%" if values[kept].max() > 0.05 else ".1%"
    return {**figure(traces, title, **scale), "legend": False}


def memory(log: RunLog) -> Figure | None:
    """The peak so far on the device, and this process's memory on the host."""
    traces = []
    for column, name, colour in (
        ("allocated_gb", "device memory, most so far", "--line"),
        ("host_gb", "host memory", "--val"),
    ):
        values = log.steps[column]
        kept = thin(values)
        if len(kept) and values[kept].max() > 0:
            traces.append(line(name, log.steps.iters[kept], values[kept], colour, form=".2f"))
    title = f"{traces[0]['name']} [GB]" if len(traces) == 1 else "memory [GB]"
    return figure(traces, title, rangemode="tozero") if traces else None


def times(log: RunLog) -> Figure | None:
    """Where the milliseconds of a step go: means over blocks of steps, stacked."""
    traces = []
    for n, (column, name) in enumerate(ACTIVITIES.items()):
        middles, means, _ = block_means(log.steps.steady(column), 80)
        if len(means) and means.max() > 0:
            trace = line(name, log.steps.iters[middles], means, f"--stack{n}", form=".3g", width=0)
            traces.append({**trace, "stackgroup": "one", "fillcolor": f"--stack{n}"})
    return figure(traces, "time of a step [ms]", rangemode="tozero") if traces else None


def heat_map(looks: Looks, unit: str) -> Figure | None:
    """A row for each layer, the first on top, a column for each look; colour is the logarithm."""
    import numpy as np

    layers = list(dict.fromkeys(name for _, look in looks.looks for name in look))
    if not layers:
        return None
    grid = np.array([[number(look.get(name)) for _, look in looks.looks] for name in layers])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.where(grid > 0, grid, np.nan))
    if not np.isfinite(logs).any():
        return None
    low, high = np.nanquantile(logs, [0.01, 0.99])
    ticks = list(range(int(np.floor(low)), int(np.ceil(high)) + 1))
    bar = {"tickvals": ticks, "ticktext": [f"1e{n}" if n else "1" for n in ticks], "title": {"text": unit}}
    names = [plain(name)[-60:] for name in layers]
    trace = {
        "type": "heatmap", "x": [iter for iter, _ in looks.looks], "y": names, "z": [short(row) for row in logs],
        "customdata": [short(row) for row in grid], "zmin": float(low), "zmax": max(float(high), float(low) + 1e-6),
        "colorscale": "heat", "colorbar": bar,
        "hovertemplate": "%{y}<br>%{customdata:.3g} at step %{x:,}<extra></extra>",
    }  # fmt: skip
    drawn = figure([trace], "", autorange="reversed", type="category")
    drawn["rows"] = len(layers)
    return drawn
