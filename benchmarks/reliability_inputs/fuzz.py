"""The fuzz tests of the suite, several times as many cases: their oracles and their bounds, in a process with little memory."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.reliability_inputs.workshop import ROOT
from tests.config import test_fuzz as config_fuzz
from tests.data import test_fuzz as data_fuzz

TIMES = {"configs": 3, "data": 5}  # the suite has 2,030 broken configs and 2,000 files
MOST_MEMORY = 12 * 2**30  # bytes of address space of the test process; 4 GiB of it is a file with holes that is mapped


def configs(work: Path, scale: float) -> dict[str, Any]:
    """Broken configs: exit 2, a line or two that name the place, nothing run, nothing written."""
    found = _pytest("tests/config/test_fuzz.py::test_a_broken_config_costs_a_line_or_two", TIMES["configs"], scale)
    found |= {"kinds": len(config_fuzz.KINDS), "seconds_most_allowed": config_fuzz.WORST}
    print(
        f"broken configs: {found['cases']:,} of {found['kinds']} kinds, each under {config_fuzz.WORST} s: {_ending(found)}"
    )
    return found


def data(work: Path, scale: float) -> dict[str, Any]:
    """Token files, headers and texts: each is read as its bytes say, or refused in one sentence that names the file."""
    found = _pytest("tests/data/test_fuzz.py", TIMES["data"], scale)
    found |= {"seconds_most_allowed": data_fuzz.MOST_SECONDS, "bytes_most_allowed": data_fuzz.MOST_BYTES}
    print(
        f"data files: {found['cases']:,}, each under {data_fuzz.MOST_SECONDS:g} s and {data_fuzz.MOST_BYTES >> 20} MiB: "
        f"{_ending(found)}"
    )
    return found


def _pytest(tests: str, times: int, scale: float) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
        cwd=ROOT,
        env={**os.environ, "GPTMILL_FUZZ": str(max(1, round(times * scale)))},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY)),
    )
    counted = re.findall(r"^counted: ([\d,]+) ", done.stdout, re.MULTILINE)
    return {
        "good": done.returncode == 0 and bool(counted),
        "cases": sum(int(number.replace(",", "")) for number in counted),
        "tracebacks": 0 if done.returncode == 0 else None,
        "failures": re.findall(r"^FAILED .*|^ERROR .*", done.stdout, re.MULTILINE),
    }


def _ending(found: dict[str, Any]) -> str:
    return "0 tracebacks" if found["good"] else f"FAILED {found['failures']}"
