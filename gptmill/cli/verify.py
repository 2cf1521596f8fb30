"""``gptmill verify``: read every byte of every checkpoint of a run and say which ones can be used."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gptmill.cli.runs import newest_run
from gptmill.errors import CheckpointError, DataError, UserError
from gptmill.train.manifest import steps
from gptmill.train.manifest import verify as problems_of
from gptmill.train.retention import is_best


def verify(*, run: Annotated[Path | None, Parameter(name=["--run", "--out_dir"])] = None, json: bool = False) -> int:
    """Check the checkpoints of a run against their manifests; exit 3 when one is damaged, 4 when none is good.

    Parameters
    ----------
    run
        The run folder; the newest here unless said otherwise.
    json
        Print one JSON object instead of a table.
    """
    run = newest_run(Path()) if run is None else run
    if not run.is_dir():
        raise UserError(f"--run {run}: no such folder")
    rows = [_row(run, folder) for folder in steps(run)]
    good = [row["checkpoint"] for row in rows if not row["problems"]]
    newest = good[-1] if good else None
    if json:
        print(json_format.dumps({"run_dir": str(run), "newest_good": newest, "checkpoints": rows}))
    elif rows:
        _print_table(run, rows, newest)
    if not rows:
        raise CheckpointError(f"{run}: holds no checkpoint; is it a run folder, and has the run saved yet?")
    if not good:
        raise CheckpointError(f"{run}: none of its {len(rows)} checkpoints is good; --overwrite starts the run again")
    return 0 if len(good) == len(rows) else DataError.exit_code


def _row(run: Path, folder: Path) -> dict[str, Any]:
    files = [file for file in folder.iterdir() if file.is_file()] if folder.is_dir() else []
    return {
        "checkpoint": str(folder.relative_to(run)),
        "bytes": sum(file.stat().st_size for file in files),
        "best": is_best(run, folder),
        "problems": problems_of(folder),
    }


def _print_table(run: Path, rows: list[dict[str, Any]], newest: str | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from gptmill.track.console import printable
    from gptmill.units import size

    table = Table(box=None, pad_edge=False)
    table.add_column("checkpoint", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for row in rows:
        words = ["good"]
        words += ["--resume continues here"] if row["checkpoint"] == newest else []
        words += ["best validation loss"] if row["best"] else []
        problems = [problem.removeprefix(f"{run / row['checkpoint']}/") for problem in row["problems"]]
        state = "; ".join(problems or words)
        style = "red" if row["problems"] else "green"
        table.add_row(row["checkpoint"], size(row["bytes"]), Text(printable(state), style=style))
    Console(highlight=False).print(table)
