"""``gptmill doctor``: what works on this machine and what does not; with --measure, how fast its matmuls and copies are."""

from __future__ import annotations

import json as json_format
import sys
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.checks.base import MISSING, OK, PROBLEM, Check, Found
from gptmill.cli.checks.catalogue import catalogue, measurements
from gptmill.cli.checks.isolated import examine
from gptmill.plan.devices import peak_flops
from gptmill.plan.hardware import detect_machine
from gptmill.plan.types import Machine
from gptmill.units import flops

WIDTH = 80
NAME, STATUS = 17, 9  # characters of the first columns
STYLES = {OK: "green", MISSING: "yellow", PROBLEM: "bold red"}
Flag = Annotated[bool, Parameter(negative="")]


def doctor(
    *, measure: Flag = False, json: Flag = False, data_dir: Path = Path("data"), out_dir: Path = Path("out")
) -> int:
    """Look at everything training needs or can use; exit 1 when something it needs does not work.

    Parameters
    ----------
    measure
        Time matmuls and copies instead, in about ten seconds, beside the published peak where one is known.
    json
        Print one JSON object.
    data_dir
        Where the datasets are.
    out_dir
        Where the runs go.
    """
    machine = detect_machine()
    checks = measurements(machine) if measure else catalogue(machine, data_dir, out_dir)
    command = ["-m", "gptmill.cli.checks", str(data_dir), str(out_dir)]
    results: list[tuple[Check, Found]] = []
    for check, found in _watched(checks, examine(checks, command)):
        found = beside_peak(machine, found) if measure else found
        results.append((check, found))
        if not json:
            _print(check, found)
    broken = [check.name for check, found in results if check.needed and found.status != OK]
    if json:
        lines = [{"name": check.name, "needed": check.needed, **as_json(found)} for check, found in results]
        print(json_format.dumps({"works": not broken, "machine": asdict(machine), "checks": lines}, allow_nan=False))
    elif not measure:
        print("\n" + textwrap.fill(verdict(broken, results), WIDTH))
    return 1 if broken else 0


def beside_peak(machine: Machine, found: Found) -> Found:
    """A measured rate, with what the device's maker publishes."""
    rate, dtype = found.figures.get("flops_per_second"), found.figures.get("dtype", "")
    if rate is None:
        return found
    dtype, precision = ("float32", "high") if dtype == "tf32" else (dtype, "highest")
    peak = peak_flops(machine.name, dtype, precision) if found.figures["device"] == machine.kind else None
    figures = {**found.figures, "published_flops_per_second": peak, "share_of_published": rate / peak if peak else None}
    beside = f": {rate / peak:.0%} of the published {flops(peak)}/s" if peak else "; no published peak is known"
    return Found(found.status, found.says + beside, found.try_, figures)


def verdict(broken: list[str], results: list[tuple[Check, Found]]) -> str:
    """The last line."""
    if broken:
        return f"Training needs what does not work here: {', '.join(broken)}."
    lost = [check.name for check, found in results if found.status != OK]
    return "Training works here." + (f" It does without: {', '.join(lost)}." if lost else "")


def as_json(found: Found) -> dict[str, object]:
    return {"status": found.status, "says": found.says, "try": found.try_, "figures": found.figures}


def _watched(checks: list[Check], results: Iterator[tuple[Check, Found]]) -> Iterator[tuple[Check, Found]]:
    """The same, with the name of the check in hand shown on a terminal while it takes its time."""
    from rich.console import Console

    console = Console(stderr=True)
    for check in checks:
        with console.status(check.name) if sys.stderr and console.is_terminal else nullcontext():
            result = next(results)
        yield result


def _print(check: Check, found: Found) -> None:
    """Name, status, what was found, and below it what to do."""
    from rich.console import Console
    from rich.text import Text

    from gptmill.track.console import printable

    console = Console(highlight=False)
    indent = " " * (NAME + STATUS)
    lines = [found.says, *([f"try: {found.try_}"] if found.try_ else [])]
    # a command or a path stays in one piece, to be copied
    wrapper = textwrap.TextWrapper(
        min(console.width, WIDTH), initial_indent=indent, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    body = "\n".join(wrapper.fill(printable(line)) for line in lines)
    status = (found.status.ljust(STATUS), STYLES[found.status])
    console.print(Text.assemble((check.name.ljust(NAME), "bold"), status, body[len(indent) :]), soft_wrap=True)
