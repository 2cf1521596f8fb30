"""``python -m gptmill.cli.checks DATA_DIR OUT_DIR NAME...``: the process that looks at the checks with these names.

Prints each Found as one line of JSON, in the order of the names.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from gptmill.cli.checks.base import MISSING, PROBLEM, Check, Found
from gptmill.cli.checks.catalogue import catalogue, measurements
from gptmill.plan.hardware import detect_machine


def main(data_dir: str, out_dir: str, *names: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    machine = detect_machine()
    known = {check.name: check for check in catalogue(machine, Path(data_dir), Path(out_dir)) + measurements(machine)}
    for name in names:
        print(json.dumps(asdict(found(known[name]))), file=answers, flush=True)


def found(check: Check) -> Found:
    """What the check says; an exception is a problem with its first line."""
    try:
        return check.look()
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            return Found(PROBLEM if check.needed else MISSING, "torch is not installed", "pip install torch")
        first = str(error).strip().partition("\n")[0]
        return Found(PROBLEM, f"{type(error).__name__}: {first}"[:300], check.remedy)


if __name__ == "__main__":
    main(*sys.argv[1:])
