"""Charts as SVG inside a page: no script, a few kilobytes, in the page's own colours so that they follow it from light to
dark. Plain functions of numbers; a larger x lies to the right, a larger y above.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from gptmill.report.text import visible

WIDTH = 760  # of the drawing, in its own units; the page scales it
LABELS = 150  # for the names of a forest plot's rows
LONGEST_NAME = 22
ROW = 34


@dataclass(frozen=True)
class Band:
    """A curve and what lies around it; of one length, by ascending x.

    Args:
        colour: one of the page's own (``--run0``).
        dash: of the line, as SVG has it; '' = solid.
    """

    name: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    dash: str = ""


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot: a value with its interval, and the single values it is the mean of."""

    name: str
    colour: str
    value: float | None
    low: float | None
    high: float | None
    points: Sequence[float] = ()


def bands(
    curves: Sequence[Band], *, x_title: str, y_title: str, tick: Callable[[float], str], top: float | None = None,
    zero: bool = False, height: int = 340, y_tick: Callable[[float], str] | None = None,
) -> str:  # fmt: skip
    """Curves with bands.

    Args:
        tick: writes a place of the x axis.
        top: size of y beyond which curves are cut off.
        zero: draw the line y = 0, and have it in sight.
        y_tick: writes a place of the y axis, where y is not what is to be read (a logarithm).
    """
    left, right, upper, lower = 64, 12, 8, 44
    known = [y for curve in curves for y in (*curve.low, *curve.high) if top is None or abs(y) <= top] + [0.0] * zero
    margin = 0.04 * (max(known) - min(known)) or 1e-3
    y_low, y_high = min(known) - margin, max(known) + margin
    y_ticks = [y for y in nice(y_low, y_high) if y_low <= y <= y_high]
    x_ticks = nice(0.0, max(curve.x[-1] for curve in curves), 6)
    x_high = max(curve.x[-1] for curve in curves)

    def at(x: float, y: float) -> str:
        across = left + (WIDTH - left - right) * x / (x_high or 1.0)
        return f"{across:.1f},{upper + (height - upper - lower) * (y_high - y) / ((y_high - y_low) or 1.0):.1f}"

    parts = []
    for y in y_ticks:
        x1, level = at(0, y).split(",")
        strong = zero and y == 0
        parts.append(
            f'<path d="M{x1},{level}H{WIDTH - right}" class="{"zero" if strong else "grid"}"/>'
            f'<text x="{left - 8}" y="{float(level) + 4:.1f}" text-anchor="end">{y_tick(y) if y_tick else digits(y, y_ticks)}</text>'
        )
    floor = height - lower
    parts.append(f'<path d="M{left},{floor}H{WIDTH - right}" class="axis"/>')
    for x in x_ticks:
        if x <= x_high * 1.001:
            place = at(x, y_low).split(",")[0]
            parts.append(f'<text x="{place}" y="{floor + 17}" text-anchor="middle">{escape(tick(x))}</text>')
    clip_id = re.sub(r"\W+", "-", f"plot {y_title} {x_title}")
    clip = f'<clipPath id="{clip_id}"><rect x="{left}" y="{upper - 2}" width="{WIDTH - left - right}" height="{floor - upper + 3}"/></clipPath>'
    parts.append(f'{clip}<g clip-path="url(#{clip_id})">')
    for curve in curves:
        there, back = zip(curve.x, curve.high), zip(reversed(curve.x), reversed(curve.low))
        outline = " ".join(at(x, y) for x, y in (*there, *back))
        parts.append(f'<polygon points="{outline}" style="fill:var({curve.colour})" class="band"/>')
    for curve in curves:
        line = " ".join(at(x, y) for x, y in zip(curve.x, curve.y))
        dash = f' stroke-dasharray="{curve.dash}"' if curve.dash else ""
        parts.append(f'<polyline points="{line}" style="stroke:var({curve.colour})" class="line"{dash}/>')
    parts.append("</g>")
    parts.append(
        f'<text x="{(left + WIDTH - right) / 2}" y="{height - 6}" text-anchor="middle">{escape(x_title)}</text>'
    )
    parts.append(
        f'<text transform="translate(13 {floor / 2 + upper}) rotate(-90)" text-anchor="middle">{escape(y_title)}</text>'
    )
    return _drawing(parts, height, f"{y_title} over {x_title}")


def forest(rows: Sequence[Interval], *, x_title: str) -> str:
    """A row for each value with its interval, and the line of no difference."""
    right, upper, lower = 28, 8, 44
    known = [x for row in rows for x in (row.value, row.low, row.high, *row.points) if x is not None]
    middle = [x for row in rows for x in (row.value, *row.points) if x is not None] or [0.0]
    reach = 3 * max((abs(x) for x in middle), default=0.0)  # an interval of two seeds must not hide all others
    shown = [x for x in known if abs(x) <= reach] or [-1e-3, 1e-3]
    ticks = nice(min(0.0, *shown), max(0.0, *shown), 6)
    x_low, x_high, height = ticks[0], ticks[-1], upper + ROW * len(rows) + lower

    def across(x: float) -> float:
        return LABELS + (WIDTH - LABELS - right) * (min(max(x, x_low), x_high) - x_low) / ((x_high - x_low) or 1.0)

    floor = height - lower
    parts = []
    for x in ticks:
        name = "zero" if x == 0 else "grid"
        parts.append(f'<path d="M{across(x):.1f},{upper}V{floor}" class="{name}"/>')
        parts.append(f'<text x="{across(x):.1f}" y="{floor + 17}" text-anchor="middle">{digits(x, ticks, "+")}</text>')
    for n, row in enumerate(rows):
        y, ink = upper + ROW * (n + 0.5), f"var({row.colour})"
        parts.append(f'<text x="{LABELS - 12}" y="{y + 4}" text-anchor="end" class="name">{_short(row.name)}</text>')
        parts += [
            f'<circle cx="{across(x):.1f}" cy="{y}" r="2.6" style="fill:{ink}" class="seed"/>' for x in row.points
        ]
        if row.value is None:
            continue
        if row.low is not None and row.high is not None:
            cut = [x for x in (row.low, row.high) if not x_low <= x <= x_high]
            dash = ' stroke-dasharray="3 3"' if cut else ""
            parts.append(
                f'<path d="M{across(row.low):.1f},{y}H{across(row.high):.1f}" style="stroke:{ink}" class="line"{dash}/>'
            )
        parts.append(f'<circle cx="{across(row.value):.1f}" cy="{y}" r="5" style="fill:{ink}"/>')
    parts.append(
        f'<text x="{(LABELS + WIDTH - right) / 2}" y="{height - 6}" text-anchor="middle">{escape(x_title)}</text>'
    )
    return _drawing(parts, height, x_title)


def nice(low: float, high: float, about: int = 5) -> list[float]:
    """Places of ticks that are easy to read: steps of 1, 2 or 5 times a power of ten, around low to high."""
    span = (high - low) or abs(high) or 1.0
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def digits(value: float, ticks: Sequence[float], sign: str = "") -> str:
    """A tick's number with as many digits as tell it from its neighbours."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    n = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:{sign if value else ''}.{n}f}"


def _short(name: str) -> str:
    shown = visible(name).replace("\n", " ")
    return escape(shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…")


def _drawing(parts: list[str], height: int, says: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" class="drawing" role="img" aria-label="{escape(says)}">'
    return "".join([head, *parts, "</svg>"])
