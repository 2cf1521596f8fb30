"""``gptmill schedule --save``: the curve as a picture, a page or a table. Only .png needs a package."""

from __future__ import annotations

import html
import io
import os
from pathlib import Path

from gptmill.cli.report import save
from gptmill.errors import UserError
from gptmill.optim.schedules import lr_at
from gptmill.plan.types import Plan
from gptmill.report.chart import svg

SUFFIXES = (".svg", ".html", ".csv", ".png")
MOST_ROWS = 1_000_000  # of a .csv; a longer run gives its curve
INSTALL = "pip install matplotlib"

Points = list[tuple[int, float]]


def check_target(path: Path) -> None:
    """Before anything is computed.

    Raises:
        UserError: no such kind of file, no such folder, or matplotlib is not there for a .png.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--save {path}: the name must end in {', '.join(SUFFIXES)}; try {path.name or 'lr'}.svg")
    if not os.path.isdir(path.parent):
        raise UserError(f"--save {path}: there is no folder {path.parent}; make it, or name another")
    if path.suffix.lower() == ".png":
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            says = f"a .png needs matplotlib; {INSTALL}, or save a .svg or .html instead"
            raise UserError(f"--save {path}: {says}") from None


def save_chart(path: Path, plan: Plan, points: Points, words: list[str]) -> None:
    """Write the curve in the form that the name asks for, whole or not at all.

    Raises:
        UserError: it cannot be written there.
    """
    title = f"Learning rate: {plan.schedule}, {plan.max_iters:,} steps"
    match path.suffix.lower():
        case ".svg":
            data = _svg(plan, points, title).encode()
        case ".html":
            data = _page(plan, points, title, words).encode()
        case ".csv":
            data = _table(plan, points).encode()
        case _:
            data = _png(points, title)
    save(path.absolute(), data, "--save")


def _marks(plan: Plan) -> list[tuple[float, str]]:
    last = plan.max_iters - 1
    marks = [(plan.warmup_iters, "warmup ends"), (plan.lr_decay_iters, "decay ends")]
    return [(step, word) for step, word in marks if 0 < step < last and plan.schedule != "constant"]


def _svg(plan: Plan, points: Points, title: str) -> str:
    return svg(points, title=title, marks=_marks(plan))


def _page(plan: Plan, points: Points, title: str, words: list[str]) -> str:
    said = "\n".join(f"<p>{html.escape(line)}</p>" for line in words)
    head = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
    style = "font-family: sans-serif; max-width: 860px; margin: auto"
    return f'{head}<body style="{style}">\n{_svg(plan, points, title)}{said}\n</body></html>\n'


def _table(plan: Plan, points: Points) -> str:
    rows = points if plan.max_iters > MOST_ROWS else [(step, lr_at(step, plan)) for step in range(plan.max_iters)]
    return "step,learning_rate\n" + "".join(f"{step},{lr!r}\n" for step, lr in rows)


def _png(points: Points, title: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([step for step, _ in points], [lr for _, lr in points])
    axes.set(title=title, xlabel="step", ylabel="learning rate", ylim=(0, None))
    axes.grid(alpha=0.3)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=150)
    return drawn.getvalue()
