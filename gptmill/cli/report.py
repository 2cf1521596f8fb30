"""``gptmill report``: a run's page; train writes the same at its end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.runs import newest_run
from gptmill.cli.say import say
from gptmill.errors import GptmillError, UserError
from gptmill.track.jsonl import METRICS

PAGE = "report.html"


def report(
    *, run: Annotated[str | None, Parameter(name=["--run", "--out_dir"])] = None, out: Path | None = None
) -> None:
    """Write one HTML file about a run, finished or not: losses, speed, gradients, samples, config, and a verdict on top.

    It is complete in itself and works offline.

    Parameters
    ----------
    run
        The run folder; without it, the out* folder here that was active last.
    out
        The file to write; without it, report.html in the run folder.
    """
    folder = Path(os.path.expanduser(run)) if run is not None else newest_run(Path())
    if not (folder / METRICS).is_file():
        raise UserError(f"--run {folder}: not a run folder (no {METRICS}); name one that gptmill train made")
    page = writable(out, "--out") if out is not None else folder / PAGE
    write_page(folder, page, "--out")
    print(page)


def writable(page: Path, flag: str) -> Path:
    """The path as one that can be replaced.

    Raises:
        UserError: it is a folder, or there is no folder for it.
    """
    if os.path.isdir(page):  # Path.is_dir raises where a folder above may not be read
        raise UserError(f"{flag} {page}: is a folder; name a file in it, such as {page / PAGE}")
    if not os.path.isdir(page.absolute().parent):
        raise UserError(f"{flag} {page}: there is no folder {page.parent}; make it, or name another")
    return page.absolute()


def write_page(run_dir: Path, page: Path, flag: str) -> None:
    """Write a run's page. Raises: UserError when plotly is missing, or the page cannot be written."""
    from gptmill.report.run_page import run_page
    from gptmill.report.runlog import damage, read_run

    log = read_run(run_dir)
    if says := damage(log):
        say(f"{run_dir}: {says}")
    save(page, run_page(log), flag)


def save(page: Path, data: bytes, flag: str) -> None:
    """Write a file that a flag names, whole or not at all.

    Raises:
        UserError: it cannot be written there; names the flag that says where instead.
    """
    from gptmill.durable import replace

    if os.path.exists(page) and not os.path.isfile(page):  # a device such as /dev/null would be gone
        raise UserError(f"{page}: is not a file; name another place with {flag}")
    try:
        replace(page, data)
    except OSError as error:
        raise UserError(f"{page}: cannot be written ({error.strerror}); name another place with {flag}") from None


def report_at_end(run_dir: Path) -> None:
    """Write the page of a run that just ended. Whatever goes wrong is one remark: the run itself is done."""
    try:
        write_page(run_dir, run_dir / PAGE, f"gptmill report --run {run_dir} --out")
    except GptmillError as error:
        say(f"no {PAGE}: {error}")
    except Exception as error:  # a chart's mistake must not fail a run of days
        say(f"no {PAGE}: {type(error).__name__}: {error}; gptmill report --run {run_dir} tries again")
