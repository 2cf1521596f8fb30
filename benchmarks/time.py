"""How well ``gptmill plan --probe`` foretells the wall time of a run: probe, run, compare, several times over.

    python -m benchmarks.time [--seconds 300] [--rounds 3] [CONFIG AND SETTINGS...]

The length of the runs is set so that they take about --seconds. Every run is a whole process, timed from outside: importing,
steps, evaluations, checkpoints and the report. The forecast should be within 5%, or within twice what equal runs differ by among
themselves, if that is more. Anything else that computes on the machine meanwhile makes both worse.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gptmill.plan.hardware import detect_machine

ROOT = Path(__file__).parent.parent
WITHIN = 0.05


def gptmill(work: Path, *words: str) -> tuple[float, dict[str, Any]]:
    """Run one command with --json; its wall time [s] and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "gptmill", *words, "--json"],
        cwd=work, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"gptmill {' '.join(words)}:\n{done.stderr[-2000:]}")
    return seconds, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=300.0, help="about how long each run takes")
    parser.add_argument("--rounds", type=int, default=3)
    arguments, settings = parser.parse_known_args()
    settings = settings or ["quick"]
    rounds = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        gptmill(work, "train", *settings, "--max_iters=1", "--eval_iters=1", "--out_dir=first")  # prepares the data
        pace = gptmill(work, "plan", *settings, "--max_iters=1000", "--probe")[1]
        share = pace["seconds_by_part"]["training"] / pace["seconds"]
        steps = max(1, round(arguments.seconds * share / pace["step_seconds"]))
        for _ in range(arguments.rounds):
            shutil.rmtree(work / "run", ignore_errors=True)
            run = [*settings, f"--max_iters={steps}", "--out_dir=run"]
            foretold = gptmill(work, "plan", *run, "--probe")[1]
            seconds, told = gptmill(work, "train", *run)
            rounds.append(
                {
                    "foretold": foretold["seconds"],
                    "measured": seconds,
                    "error": foretold["seconds"] / seconds - 1,
                    "foretold_parts": foretold["seconds_by_part"],
                    "measured_split": told["time_split"],
                    "load": os.getloadavg()[0],
                }
            )
            print(
                f"{steps} steps: foretold {foretold['seconds']:.1f} s, took {seconds:.1f} s: {rounds[-1]['error']:+.1%}",
                flush=True,
            )
    measured = [found["measured"] for found in rounds]
    spread = (max(measured) - min(measured)) / statistics.mean(measured)
    errors = [abs(found["error"]) for found in rounds]
    allowed = max(WITHIN, 2 * spread)
    print(
        f"runs differ by {spread:.1%}; error median {statistics.median(errors):.1%}, worst {max(errors):.1%}, allowed {allowed:.1%}"
    )
    machine = detect_machine()
    record = {
        "machine": {"device": machine.kind, "name": machine.name, "cores": machine.cores},
        "settings": settings,
        "steps": steps,
        "rounds": rounds,
        "spread": spread,
        "worst": max(errors),
        "met": max(errors) <= allowed,
    }
    results = ROOT / "benchmarks" / "results" / f"time_{machine.kind}.json"
    results.write_text(json.dumps(record, indent=1) + "\n")
    print(f"kept in {results.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
