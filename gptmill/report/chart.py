"""One curve as text for a terminal, and as SVG for a page. Plain functions of points; x and y ascend to the right and up.

Legend: width and height are characters in a terminal, pixels in SVG.
"""

from __future__ import annotations

from collections.abc import Sequence

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # Unicode's braille cell: 4 rows of 2
BRAILLE = 0x2800
LABEL = 10  # characters left of the axis


def terminal(ys: Sequence[float], last_x: int, *, width: int, height: int, unicode: bool) -> list[str]:
    """The curve through evenly spaced points, with axes.

    Args:
        ys: at least one value, none negative.
        last_x: where the last point lies; the first lies at 0.
        unicode: draw in braille dots, 2 x 4 to a character; else one ``*`` to a character.
    """
    columns = width - LABEL - 2
    per_column, per_row = (2, 4) if unicode else (1, 1)
    cells = [[0] * columns for _ in range(height)]
    n_across, n_up = columns * per_column, height * per_row
    top = max(ys) or 1.0
    before: int | None = None
    for across in range(n_across):
        y = ys[round(across * (len(ys) - 1) / max(1, n_across - 1))]
        up = round(y / top * (n_up - 1))
        low, high = (up, up) if before is None else (min(up, before), max(up, before))
        before = up
        for dot in range(low, high + 1):  # a steep piece stays joined
            (row, down), (column, right) = divmod(n_up - 1 - dot, per_row), divmod(across, per_column)
            cells[row][column] |= DOTS[down][right] if unicode else 1
    side, corner, floor = ("│", "└", "─") if unicode else ("|", "+", "-")
    ticks: dict[int, float] = {0: top, height // 2: top * (1 - height // 2 / (height - 1)), height - 1: 0.0}
    lines = []
    for n, marks in enumerate(cells):
        label = f"{ticks[n]:.3g}" if n in ticks else ""
        drawn = "".join((chr(BRAILLE + m) if m else " ") if unicode else " *"[m] for m in marks)
        lines.append(f"{label:>{LABEL}} {side}{drawn}".rstrip())
    lines.append(f"{'':{LABEL}} {corner}{floor * columns}")
    middle, end = f"{last_x // 2:,}", f"{last_x:,}"
    lines.append(f"{'':{LABEL}}  0{middle:>{columns // 2 + len(middle) // 2 - 1}}".ljust(width - len(end)) + end)
    return lines


def svg(
    points: Sequence[tuple[float, float]],
    *,
    title: str,
    marks: Sequence[tuple[float, str]] = (),
    width: int = 800,
    height: int = 400,
) -> str:
    """The curve with axes, grid and labels, as a file of its own.

    Args:
        points: (x, y) by ascending x, at least one; none negative.
        marks: (x, word): a dashed line with a word at its top.
    """
    from xml.sax.saxutils import escape

    left, right, upper, lower = 80, 20, 50, 50
    last_x, top = max(1.0, points[-1][0]), max(y for _, y in points) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = left + (width - left - right) * min(x, last_x) / last_x
        return round(across, 2), round(upper + (height - upper - lower) * (1 - y / top), 2)

    def text(x: float, y: float, word: str, anchor: str) -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(word)}</text>'

    parts = ['<rect width="100%" height="100%" fill="#fff"/>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, y = at(0, share * top)
        x, _ = at(share * last_x, 0)
        parts.append(f'<line x1="{left}" y1="{y}" x2="{width - right}" y2="{y}" stroke="#ddd"/>')
        parts.append(text(left - 8, y + 4, f"{share * top:.3g}", "end"))
        parts.append(text(x, height - lower + 20, f"{share * last_x:,.0f}", "middle"))
    for x_mark, word in marks:
        x, y = at(x_mark, 0)
        parts.append(f'<line x1="{x}" y1="{upper}" x2="{x}" y2="{y}" stroke="#888" stroke-dasharray="4 4"/>')
        parts.append(text(x, upper - 6, word, "end" if x > width / 2 else "start"))
    line = " ".join(f"{x},{y}" for x, y in (at(*point) for point in points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="2"/>')
    parts.append(text(width / 2, 24, title, "middle") + text(width / 2, height - 8, "step", "middle"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join([f'{head} font-family="sans-serif" font-size="12">', *parts, "</svg>", ""])
