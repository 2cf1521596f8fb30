"""Curves and axes as plotly has them: plain dicts of numbers, drawn by the page.

A colour is written as the name of one of the page's own (``--train``), so that charts follow it from light to dark.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from gptmill.report.text import visible

if TYPE_CHECKING:
    import numpy as np

Figure = dict[str, Any]
AXES = {"steps": "step", "tokens": "tokens", "flops": "training FLOP"}  # the title of time needs its unit
UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def plain(text: object) -> str:
    """Text for a chart: plotly reads a few HTML tags in what it draws, so names from files are escaped."""
    return html.escape(visible(str(text)), quote=False)


def figure(traces: list[Figure], title: str, *, x: str = "step", **y_axis: Any) -> Figure:
    """Traces over steps, with the vertical axis named."""
    layout = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": title}, **y_axis}}
    return {"data": traces, "layout": layout}


def line(name: str, x: np.ndarray, y: np.ndarray, colour: str, *, form: str, **more: Any) -> Figure:
    style = {"color": colour, "width": more.pop("width", 2)}
    hover = f"%{{y:{form}}} at %{{x:,}}<extra>{name}</extra>"
    trace = {"type": "scatter", "mode": "lines", "name": name, "line": style, "hovertemplate": hover}
    return {**trace, "x": short(x), "y": short(y), **more}


def short(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, to 6 digits; null for what is not known."""
    return [float(f"{x:.6g}") if x == x and abs(x) != float("inf") else None for x in values.tolist()]


def axis_title(axis: str, longest: float) -> tuple[str, int]:
    """What to write under an axis, and what to divide by: time is in the largest unit that there are two of."""
    if axis != "time":
        return AXES[axis], 1
    unit, word = next((row for row in UNITS if longest >= 2 * row[0]), UNITS[-1])
    return f"training time [{word}]", unit
