"""Runs the trials and keeps their figures, each part with the machine and the day it was measured on.

    python -m benchmarks.reliability [--part NAME...] [--share 0.1] [--seed N] [--jobs 2]

A part that could not be run is told with its reason and keeps its older figures. Exits 1 when anything failed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.reliability import PARTS
from benchmarks.reliability.jobs import Figures, each, verdict
from benchmarks.reliability.machine import machine
from benchmarks.reliability.runs import ROOT, Workshop, preload


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.reliability", description="What a run survives.")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), metavar="NAME", help=", ".join(PARTS))
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the trials; figures are kept from all of them only"
    )
    parser.add_argument("--seed", type=int, default=20, help="decides the moments and the bits")
    parser.add_argument("--jobs", type=int, default=1, help="parts at a time; each takes about one core")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "reliability.json")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # forked children cannot inherit a thread pool; and bits depend on the count
    good = True
    with tempfile.TemporaryDirectory(prefix="gptmill-reliability-") as name:
        preload(folder := Path(name))

        def make(part: str, mine: Path) -> Figures:
            shop = Workshop(mine, folder / "data", random.Random(f"{asked.seed} {part}"), asked.share)
            return {**importlib.import_module(f"benchmarks.reliability.{part}").trial(shop), "seed": asked.seed}

        for part, figures in each(asked.part, asked.jobs, folder, make):
            good &= verdict(part, figures)
            if "good" in figures and asked.share == 1.0:
                kept = json.loads(asked.out.read_text()) if asked.out.exists() else {}
                kept[part] = {"date": time.strftime("%Y-%m-%d", time.gmtime()), **figures, "machine": machine()}
                asked.out.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
