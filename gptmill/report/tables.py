"""A comparison as tables of text, for a terminal, for Markdown and for a page alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gptmill.report.text import visible
from gptmill.units import count, duration, flops

NONE = "-"
READABLE = 14  # characters of a column of text


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; every column after the first ``left`` is of numbers."""

    title: str
    header: list[str]
    rows: list[list[str]]
    left: int
    note: str = ""


def tables(found: dict[str, Any]) -> list[Table]:
    """What ``compare`` found: the ranking, losses at equal cost, what was set differently, means by preset."""
    made = [ranking(found["runs"], found["warnings"])]
    if len(found["runs"]) > 1:
        made.append(equal(found))
        if found["differences"]:
            made.append(different(found))
    if len(found["presets"]) > 1:
        rows = [[name, str(row["runs"]), f"{row['best_val_loss']:.4f}"] for name, row in found["presets"].items()]
        made.append(Table("Mean of each preset", ["preset", "runs", "best val loss"], rows, 1))
    return made


def ranking(runs: list[dict[str, Any]], warnings: list[str]) -> Table:
    rows = [
        [
            str(run["rank"] or NONE),
            run["run"],
            known(run["best_val_loss"], "{:.4f}"),
            known(run["percent_below_worst"], "{:.1f}%"),
            known(run["tokens_per_second"], "{:,.0f}"),
            known(run["mfu"], "{:.1%}"),
            known(run["peak_memory_gb"], "{:.2f}"),
            duration(run["seconds"]) if run["seconds"] is not None else NONE,
        ]
        for run in runs
    ]
    header = ["", "run", "val loss", "below worst", "tokens/s", "MFU", "GB", "time"]
    return Table("Ranked by best validation loss [nats/token]", header, rows, 2, "; ".join(warnings))


def equal(found: dict[str, Any]) -> Table:
    at = {axis: each["at"] for axis, each in found["equal"].items()}
    header = [
        "run",
        f"at {count(at['tokens'])} tokens" if at["tokens"] is not None else "at equal tokens",
        f"at {flops(at['flops'])}" if at["flops"] is not None else "at equal FLOP",
        f"at {duration(at['time'])}" if at["time"] is not None else "at equal time",
    ]
    names = [run["run"] for run in found["runs"]]
    rows = [[name, *(known(each["val_loss"][name], "{:.4f}") for each in found["equal"].values())] for name in names]
    reasons = {f"{name}: {why}" for each in found["equal"].values() for name, why in each["why"].items()}
    note = f"{NONE} = not known: {'; '.join(sorted(reasons))}" if reasons else ""
    return Table("Validation loss where every run had spent the same", header, rows, 1, note)


def different(found: dict[str, Any]) -> Table:
    names = [run["run"] for run in found["runs"]]
    rows = [
        [key, *(as_text(row[name]) if name in row else NONE for name in names)]
        for key, row in found["differences"].items()
    ]
    architectures = [run["architecture"] or NONE for run in found["runs"]]
    if len(set(architectures)) > 1:
        rows.insert(0, ["architecture", *architectures])
    return Table("What was set differently", ["key", *names], rows, 1 + len(names))


def side_by_side(table: Table, width: int) -> list[Table]:
    """The table, or where its columns of text would be too narrow to read, parts of it that each have the first column."""
    first = max(len(row[0]) for row in (table.header, *table.rows))
    most = max(1, (width - first) // READABLE)
    if table.left < len(table.header) or len(table.header) - 1 <= most:
        return [table]
    parts = []
    for start in range(1, len(table.header), most):
        header, *rows = ([row[0], *row[start : start + most]] for row in (table.header, *table.rows))
        title = table.title if start == 1 else f"{table.title}, continued"
        parts.append(Table(title, header, rows, len(header)))
    return parts


def known(value: float | None, form: str) -> str:
    return NONE if value is None else form.format(value)


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def markdown(made: list[Table]) -> str:
    """The tables for a document."""
    lines: list[str] = []
    for table in made:
        lines += [f"**{table.title}**", ""]
        aligned = ["---" if n < table.left else "---:" for n in range(len(table.header))]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in (table.header, aligned, *table.rows)]
        lines += ["", *([_cell(table.note), ""] if table.note else [])]
    return "\n".join(lines).rstrip("\n")


def _cell(text: str) -> str:
    """Text that cannot end its cell or begin markup."""
    plain = visible(text).replace("\n", " ").replace("\\", "\\\\")
    for sign in "|<`*[":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
