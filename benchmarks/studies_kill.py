"""End studies at random moments and repeat the same command: does every run finish, and none twice?

    python -m benchmarks.studies_kill [--kills 4] [--seed N]

1. sweep: the five weights of sweep_lambda_openwebtext, two runs at a time.
2. matrix: the 12 runs of gpt2-shakespeare-matrix, two at a time.

Each is begun, and ended after a random time by SIGINT, SIGTERM and SIGKILL of the study's process in turn, as often as asked;
then it is left alone. SIGKILL leaves the runs' processes without their study: they must end by themselves. Counted from the runs'
own records: how often each was completed, how many processes trained it. The weights must be those of the same study that
nothing disturbed, and a last repeat of the command must start no process.

Prints the figures, writes them to benchmarks/results/studies_kill.json, and exits 1 when anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.reliability.machine import machine
from gptmill.track.jsonl import finished, read_events
from tests.cli.run import prepare_tiny

ROOT = Path(__file__).parents[1]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
LONGEST = 3.0  # seconds from the first step of a run until the study is ended
TINY = [
    "--n_layer=1", "--n_head=2", "--n_embd=16", "--block_size=16", "--batch_size=4", "--gradient_accumulation_steps=1",
    "--max_iters=600", "--eval_interval=100", "--eval_iters=2", "--checkpoint_minutes=0", "--device=cpu",
    "--compile=False", "--dataset=tiny", "--parallel=2",
]  # fmt: skip
SWEEP = """\
program: train.py
method: grid
metric: {name: val/loss}
parameters:
  penalty_weight: {values: [0, 0.005, 0.01, 0.02, 0.05]}
  penalty_type: {value: non_max_sum}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, which is inherited
    chance = random.Random(asked.seed)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="gptmill-studies-") as folder:
        prepare_tiny(Path(folder))
        (Path(folder) / "lambda.yaml").write_text(SWEEP)
        for name, words in {"sweep": sweep_words(), "matrix": matrix_words()}.items():
            found[name] = trial(Path(folder), name, words, asked.kills, chance)
            print(f"{name}: {json.dumps(found[name])}", flush=True)
    failed = [name for name, each in found.items() if not each["passed"]]
    report = {"when": datetime.now().strftime("%Y-%m-%d"), "machine": machine(), "seed": asked.seed, **found}
    (ROOT / "benchmarks" / "results" / "studies_kill.json").write_text(json.dumps(report, indent=1) + "\n")
    return int(bool(failed))


def sweep_words() -> list[str]:
    return ["sweep", "lambda.yaml", *TINY]


def matrix_words() -> list[str]:
    return ["matrix", "gpt2-shakespeare-matrix", "--pruning_warmup=50", "--pruning_interval=25", *TINY]


def trial(folder: Path, name: str, words: list[str], kills: int, chance: random.Random) -> dict[str, Any]:
    """A study that is ended again and again, beside one that is not."""
    ended: list[str] = []
    order = chance.sample(SIGNALS, len(SIGNALS))
    for n in range(kills):
        study = begin(folder, words, f"{name}-killed")
        told = order[n % len(order)]
        there = processes(folder / f"{name}-killed")
        while study.poll() is None and processes(folder / f"{name}-killed") == there:
            time.sleep(0.05)
        try:
            study.wait(chance.uniform(0.0, LONGEST))
            break  # it was done before
        except subprocess.TimeoutExpired:
            study.send_signal(told)
            study.wait()
            ended.append(told.name)
    codes = [begin(folder, words, f"{name}-killed").wait()]
    before = records(folder / f"{name}-killed")
    codes += [begin(folder, words, f"{name}-killed").wait(), begin(folder, words, f"{name}-straight").wait()]
    after, straight = records(folder / f"{name}-killed"), records(folder / f"{name}-straight")
    result = {
        "runs": len(straight),
        "signals": ended,
        "completed_once": sum(each["completed"] == 1 for each in after.values()),
        "processes": sum(each["processes"] for each in after.values()),
        "started_by_a_last_repeat": sum(after[id]["processes"] - before[id]["processes"] for id in before),
        "same_weights": sum(after.get(id, {}).get("weights") == each["weights"] for id, each in straight.items()),
        "exit_codes": codes,
    }
    n = result["runs"]
    whole = result["completed_once"] == result["same_weights"] == n == len(after) > 0
    result["passed"] = whole and result["started_by_a_last_repeat"] == 0 and codes == [0, 0, 0]
    return result


def begin(folder: Path, words: list[str], out_dir: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "gptmill", *words, f"--out_dir={out_dir}"],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def records(study: Path) -> dict[str, dict[str, Any]]:
    """What each run's own folder says."""
    found = {}
    for run in sorted(path for path in study.glob("*/") if (path / "config.json").exists()):
        events = [fields["event"] for fields in read_events(run)]
        summary = (finished(run) or {}).get("summary") or {}
        found[run.name] = {
            "completed": events.count("run_done"),
            "processes": events.count("run_started"),
            "weights": summary.get("weights_sha256"),
        }
    return found


def processes(study: Path) -> int:
    """How many have begun to train."""
    return sum(each["processes"] for each in records(study).values())


if __name__ == "__main__":
    began = time.perf_counter()
    code = main()
    print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(code)
