"""Training speed beside nanoGPT's own ``train.py``: same model, data and batch, whole processes, taking turns.

    python -m benchmarks.speed --nanogpt PATH_TO_A_NANOGPT_CHECKOUT

Machines are noisy, so only the ratio of medians from one run means anything. nanoGPT runs with its fastest CPU settings:
float32 (on a CPU its dtype flag does nothing), once eager and once compiled; gptmill runs with no speed flags at all.
"""

from __future__ import annotations

import argparse
import json
import pickle
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "speed_cpu.json"
VOCABULARY = 65  # characters of tiny Shakespeare
WARMUP = 5  # steps not counted: allocation, compilation

SIZES = {
    "S": {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "batch_size": 12, "max_iters": 300},
    "B": {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256, "batch_size": 12, "max_iters": 30},
}
COMMON = {
    "dataset": "bench", "gradient_accumulation_steps": 1, "dropout": 0.0, "learning_rate": 1e-3, "warmup_iters": 10,
    "eval_interval": 100000, "eval_iters": 1, "log_interval": 1, "always_save_checkpoint": False, "device": "cpu",
}  # fmt: skip


def flags(settings: dict[str, object]) -> list[str]:
    return [f"--{key}={value}" for key, value in settings.items()]


def make_data(folder: Path) -> None:
    """Random tokens: speed does not depend on what is learned. nanoGPT wants its vocabulary in a pickle."""
    folder.mkdir(parents=True)
    ids = np.random.default_rng(0).integers(VOCABULARY, size=1_000_000).astype(np.uint16)
    for split in ("train", "val"):
        ids.tofile(folder / f"{split}.bin")
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": VOCABULARY}))


def nanogpt(source: Path, work: Path, size: dict[str, int], compiled: bool) -> list[float]:
    """Run train.py; returns the time of each counted step [ms]."""
    for name in ("train.py", "model.py", "configurator.py"):
        if not (work / name).exists():
            (work / name).symlink_to(source.resolve() / name)
    settings = {**COMMON, **size, "compile": compiled, "dtype": "float32", "out_dir": "out-nanogpt"}
    done = subprocess.run([sys.executable, "train.py", *flags(settings)], cwd=work, capture_output=True, text=True)
    times = [float(ms) for ms in re.findall(r"^iter \d+: loss .*, time ([\d.]+)ms", done.stdout, re.MULTILINE)]
    if done.returncode or not times:
        raise SystemExit(f"nanoGPT's train.py failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return times[WARMUP:]


def gptmill(work: Path, size: dict[str, int]) -> list[float]:
    """Run our train.py with the same settings; returns the time of each counted step [ms]."""
    settings = {**COMMON, **size, "vocab_size": VOCABULARY, "out_dir": "out-gptmill"}
    command = [sys.executable, str(ROOT / "train.py"), *flags(settings), "--overwrite"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"gptmill failed:\n{done.stderr[-2000:]}")
    events = [json.loads(line) for line in (work / "out-gptmill" / "metrics.jsonl").read_text().splitlines()]
    return [event["time_ms"] for event in events if event["event"] == "step_done"][WARMUP:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of nanoGPT")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not (arguments.nanogpt / "train.py").is_file():
        raise SystemExit(f"--nanogpt {arguments.nanogpt}: no train.py there; clone nanoGPT and name its folder")

    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        make_data(work / "data" / "bench")
        for name, size in SIZES.items():
            tokens = size["batch_size"] * size["block_size"]
            speeds: dict[str, list[float]] = {"nanogpt eager": [], "nanogpt compiled": [], "gptmill": []}
            for _ in range(arguments.rounds):
                for side, times in (
                    ("nanogpt eager", nanogpt(arguments.nanogpt, work, size, compiled=False)),
                    ("nanogpt compiled", nanogpt(arguments.nanogpt, work, size, compiled=True)),
                    ("gptmill", gptmill(work, size)),
                ):
                    speeds[side].append(1000 * tokens / statistics.median(times))
            medians = {side: statistics.median(values) for side, values in speeds.items()}
            best = max(medians["nanogpt eager"], medians["nanogpt compiled"])
            found[name] = {**medians, "ratio": medians["gptmill"] / best}
            row = ", ".join(f"{side} {value:,.0f}" for side, value in medians.items())
            print(f"{name}: tokens/s {row}; gptmill is {medians['gptmill'] / best:.2f}x nanoGPT's best", flush=True)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine, "rounds": arguments.rounds, "sizes": SIZES, "tokens_per_second": found}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    print(f"kept in {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
