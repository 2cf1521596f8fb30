"""The curves of ``growth`` as one SVG: tokens/s below the roofline on the left, memory beside the plan's on the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gptmill.report.svg import WIDTH, Band, bands

STYLE = (
    "<style>svg{--run0:#cf5a1c;--run1:#66625a;font:15px system-ui,sans-serif}text{fill:#66625a}"
    ".grid{stroke:#e7e3da}.axis,.zero{stroke:#66625a}.band{opacity:0}.line{fill:none;stroke-width:2.5}</style>"
)
HEIGHT, GAP, HEAD = 300, 30, 40
TITLES = {
    "model": "layers x width",
    "block_size": "context (as many tokens a step)",
    "batch_size": "sequences in a micro-batch",
    "accumulation": "micro-batches in a step",
    "world_size": "processes",
}


def draw(found: dict[str, Any]) -> str:
    """Args: found: what ``growth`` keeps."""
    rows = []
    for axis, each in found["axes"].items():
        places = [one["at"] for one in each]
        speeds = {"measured": [one["tokens_per_second"] for one in each], "roofline": [one["roof"] for one in each]}
        memory = {name: [one[key] / 2**20 for one in each] for name, key in (("measured", "memory"), ("planned", "planned_memory"))}  # fmt: skip
        rows.append((chart(axis, places, speeds, "tokens/s"), chart(axis, places, memory, "MiB of a process")))
    across, down = WIDTH + GAP, HEIGHT + GAP
    placed = [
        f'<svg x="{GAP + column * across}" y="{HEAD + row * down}" width="{WIDTH}" height="{HEIGHT}" overflow="visible" {drawn.removeprefix("<svg ")}'
        for row, pair in enumerate(rows)
        for column, drawn in enumerate(pair)
    ]
    machine = found["machine"]
    title = f"{machine.get('cpu', machine['processor'])}, {machine['threads']} threads, torch {machine['torch']}: measured; dashed: the roofline on the left, the plan's memory on the right"
    width, height = 2 * (GAP + across), HEAD + len(rows) * down
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
    paper = '<rect width="100%" height="100%" fill="#fffefb"/>'
    return "\n".join([head, STYLE, paper, f'<text x="24" y="22">{title}</text>', *placed, "</svg>", ""])


def chart(axis: str, places: Sequence[str], curves: dict[str, list[float]], y_title: str) -> str:
    """Measured solid, its bound dashed; from 0, or by powers of two where the highest is many times the lowest."""
    values = [value for each in curves.values() for value in each]
    by_powers = max(values) > 16 * min(values)
    drawn = []
    for (name, each), colour, dash in zip(curves.items(), ("--run0", "--run1"), ("", "6 5")):
        ys = [math.log2(value) if by_powers else value for value in each]
        drawn.append(Band(name, colour, range(len(ys)), ys, ys, ys, dash))
    return bands(
        drawn, x_title=TITLES[axis], y_title=y_title, tick=lambda n: places[round(n)] if n == round(n) else "",
        y_tick=lambda y: short(2**y if by_powers else y), zero=not by_powers, height=HEIGHT,
    )  # fmt: skip


def short(value: float) -> str:
    """1,500 -> '1.5k'."""
    return f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.3g}"
