"""``gptmill compare``: runs beside each other, as a table, a page, Markdown or JSON."""

from __future__ import annotations

import json as json_format
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from gptmill.cli.report import save, writable
from gptmill.cli.say import say
from gptmill.errors import GptmillError, UserError
from gptmill.track.jsonl import METRICS

if TYPE_CHECKING:
    from gptmill.report.runlog import RunLog
    from gptmill.report.tables import Table

Flag = Annotated[bool, Parameter(negative="")]
PAGE = Path("compare.html")


def compare(
    *runs: str,
    out: Path | None = None,
    json: Flag = False,
    markdown: Flag = False,
    latest: int | None = None,
    out_dir: Path = Path("out"),
) -> None:
    """Rank runs by their best validation loss; say what they reached at equal tokens, FLOP and time, and how they differ.

    Parameters
    ----------
    runs
        Run folders, or run_*.json files; without any, those found at and under --out_dir.
    out
        The HTML page to write; without it, compare.html here (with --json or --markdown: none).
    json
        Print one JSON object instead of tables.
    markdown
        Print the tables as Markdown.
    latest
        Only the N newest of the runs.
    out_dir
        Where to look for runs: this folder, those in it, and those named like it (out-2, out-llama, ...).
    """
    if json and markdown:
        raise UserError("--json and --markdown: give one of them")
    if latest is not None and latest < 1:
        raise UserError(f"--latest {latest}: must be at least 1")
    paths = [Path(os.path.expanduser(run)) for run in runs] or found_at(out_dir)
    if latest is not None:
        paths = sorted(paths, key=lambda path: log_file(path).stat().st_mtime if log_file(path).exists() else 0.0)[
            -latest:
        ]
    if len(set(map(os.path.abspath, paths))) < len(paths):
        raise UserError(f"compare {' '.join(map(str, paths))}: a run is named twice")
    page = writable(out, "--out") if out is not None else None if json or markdown else PAGE.absolute()

    logs = read_all(paths)
    from gptmill.report import compare as comparison

    found = comparison.compare(logs)
    written = None if page is None else write_page(page, logs, found, demanded=out is not None)
    show(found, json=json, as_markdown=markdown)
    say(written)


def log_file(run: Path) -> Path:
    return run / METRICS if run.is_dir() else run


def found_at(out_dir: Path) -> list[Path]:
    """Run folders and logs of a folder, of those in it, and of its namesakes; a folder's log counts once.

    Raises:
        UserError: there is none.
    """
    folders = [out_dir, *out_dir.parent.glob(f"{out_dir.name}-*"), *out_dir.glob("*/")]
    found: list[Path] = []
    for folder in sorted(folders):
        if (folder / METRICS).is_file():
            found.append(folder)
        else:
            found += sorted(folder.glob("run_*.json"))
    if not found:
        raise UserError(f"--out_dir {out_dir}: no run there; name run folders, or train one with gptmill train quick")
    return found


def read_all(paths: Iterable[Path]) -> list[RunLog]:
    """Every run's log.

    Raises:
        UserError: all that cannot be read, each with its reason.
    """
    from gptmill.report.runjson import read_run_json
    from gptmill.report.runlog import read_run

    logs: list[RunLog] = []
    problems: list[str] = []
    for path in paths:
        if path.is_dir() and not (path / METRICS).is_file():
            problems.append(f"{path}: not a run folder (no {METRICS}); name one that gptmill train made")
            continue
        try:
            logs.append(read_run(path) if path.is_dir() else read_run_json(path))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*problems)
    return logs


def write_page(page: Path, logs: list[RunLog], found: dict[str, Any], *, demanded: bool) -> str:
    """Write the page; returns what to say of it. One that was not asked for by name may fail with a remark."""
    from gptmill.report.compare_page import compare_page

    try:
        save(page, compare_page(logs, found), "--out")
        return f"page: {page.name if page.parent == Path.cwd() else page}"
    except GptmillError as error:
        if demanded:
            raise
        return f"no {page.name}: {error}"


def show(found: dict[str, Any], *, json: bool, as_markdown: bool) -> None:
    """Print what was found on stdout."""
    if json:
        print(json_format.dumps(found, allow_nan=False))
        return
    from gptmill.report.tables import markdown, tables

    made = tables(found)
    if as_markdown:
        print(markdown(made))
    else:
        print_tables(made)


def print_tables(made: list[Table]) -> None:
    """On stdout, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    from gptmill.report.tables import side_by_side
    from gptmill.track.console import printable

    console = Console(highlight=False)
    for table in (part for whole in made for part in side_by_side(whole, console.width)):
        console.print(Text(table.title, style="bold"))
        drawn = Grid(box=None, pad_edge=False)
        for n, name in enumerate(table.header):
            align: Literal["left", "right"] = "left" if n < table.left else "right"
            drawn.add_column(Text(printable(name)), justify=align, overflow="fold", no_wrap=n == 0 or align == "right")
        for row in table.rows:
            drawn.add_row(*(Text(printable(cell)) for cell in row))
        console.print(drawn)
        if table.note:
            console.print(Text(printable(table.note)), style="dim")
        console.print()
