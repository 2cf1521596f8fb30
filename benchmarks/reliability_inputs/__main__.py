"""Run the parts that are asked for, or all, and keep their figures; see the package's docstring."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # forked children cannot inherit a thread pool; and bits depend on the count

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import benchmarks.reliability_inputs as package
from benchmarks.reliability.jobs import each, verdict
from benchmarks.reliability.machine import machine
from benchmarks.reliability_inputs import fuzz, matrix, network, payloads, secrets
from benchmarks.reliability_inputs.workshop import ROOT

TRIALS: dict[str, Callable[[Path, float], dict[str, Any]]] = {
    "matrix": matrix.trial,
    "configs": fuzz.configs,
    "data": fuzz.data,
    "payloads": payloads.trial,
    "secrets": secrets.trial,
    "network": network.trial,
}
OUT = ROOT / "benchmarks" / "results" / "reliability_inputs.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=package.PARTS, default=list(package.PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: fewer cases, and no figures are kept")
    parser.add_argument("--jobs", type=int, default=1, help="parts at a time; each takes about one core")
    asked = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="gptmill-inputs-") as name:
        for part, found in each(asked.part, asked.jobs, Path(name), lambda part, mine: TRIALS[part](mine, asked.scale)):
            print(*found.get("failures", [])[:20], sep="\n", end="\n" * bool(found.get("failures")), flush=True)
            good &= verdict(part, found)
            if "good" in found and asked.scale == 1.0:
                results = json.loads(OUT.read_text()) if OUT.exists() else {}
                results[part] = {"date": time.strftime("%Y-%m-%d", time.gmtime()), **found, "machine": machine()}
                OUT.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    print("all good" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
