"""Training speed beside nanoGPT's own ``train.py``: same model, data and batch, whole processes, taking turns.

    python -m benchmarks.speed --nanogpt PATH_TO_A_NANOGPT_CHECKOUT [--device cuda]

Machines are noisy, so only the ratio of medians from one run means anything. nanoGPT runs with its fastest settings, once
eager and once compiled: bfloat16 on CUDA, float32 on a CPU, where its dtype flag does nothing. gptmill runs with no speed
flags at all.
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

from gptmill.plan.hardware import detect_machine

ROOT = Path(__file__).parent.parent
WARMUP = 5  # steps not counted: allocation, compilation

Size = dict[str, int]
# vocab_size 65: characters of tiny Shakespeare
CPU_SIZES: dict[str, Size] = {
    "S": {
        "n_layer": 4,
        "n_head": 4,
        "n_embd": 128,
        "block_size": 64,
        "batch_size": 12,
        "vocab_size": 65,
        "max_iters": 300,
    },
    "B": {
        "n_layer": 6,
        "n_head": 6,
        "n_embd": 384,
        "block_size": 256,
        "batch_size": 12,
        "vocab_size": 65,
        "max_iters": 30,
    },
}
GPT2 = {"n_layer": 12, "n_head": 12, "n_embd": 768, "block_size": 1024, "vocab_size": 50304, "max_iters": 60}
SIZES = {"cpu": CPU_SIZES, "cuda": {"124M x 12": {**GPT2, "batch_size": 12}, "124M x 48": {**GPT2, "batch_size": 48}}}
COMMON = {
    "dataset": "bench", "gradient_accumulation_steps": 1, "dropout": 0.0, "learning_rate": 1e-3, "warmup_iters": 10,
    "eval_interval": 100000, "eval_iters": 1, "log_interval": 1, "always_save_checkpoint": False,
}  # fmt: skip


def flags(settings: dict[str, object]) -> list[str]:
    return [f"--{key}={value}" for key, value in settings.items()]


def make_data(folder: Path, vocab_size: int) -> None:
    """Random tokens: speed does not depend on what is learned. nanoGPT wants its vocabulary in a pickle."""
    folder.mkdir(parents=True)
    ids = np.random.default_rng(0).integers(vocab_size, size=1_000_000).astype(np.uint16)
    for split in ("train", "val"):
        ids.tofile(folder / f"{split}.bin")
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": vocab_size}))


def nanogpt(source: Path, work: Path, size: Size, device: str, compiled: bool) -> list[float]:
    """Run train.py; returns the time of each counted step [ms]."""
    for name in ("train.py", "model.py", "configurator.py"):
        if not (work / name).exists():
            (work / name).symlink_to(source.resolve() / name)
    size = {key: value for key, value in size.items() if key != "vocab_size"}  # it reads that from the data
    dtype = "bfloat16" if device == "cuda" else "float32"
    settings = {**COMMON, **size, "device": device, "compile": compiled, "dtype": dtype, "out_dir": "out-nanogpt"}
    done = subprocess.run([sys.executable, "train.py", *flags(settings)], cwd=work, capture_output=True, text=True)
    times = [float(ms) for ms in re.findall(r"^iter \d+: loss .*, time ([\d.]+)ms", done.stdout, re.MULTILINE)]
    if done.returncode or not times:
        raise SystemExit(f"nanoGPT's train.py failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return times[WARMUP:]


def gptmill(work: Path, size: Size, device: str) -> list[float]:
    """Run our train.py with the same settings; returns the time of each counted step [ms]."""
    settings = {**COMMON, **size, "device": device, "out_dir": "out-gptmill"}
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
    parser.add_argument("--device", choices=sorted(SIZES), default="cpu")
    arguments = parser.parse_args()
    if not (arguments.nanogpt / "train.py").is_file():
        raise SystemExit(f"--nanogpt {arguments.nanogpt}: no train.py there; clone nanoGPT and name its folder")

    found: dict[str, dict[str, float]] = {}
    for name, size in SIZES[arguments.device].items():
        with tempfile.TemporaryDirectory() as temporary:
            work, device = Path(temporary), arguments.device
            make_data(work / "data" / "bench", size["vocab_size"])
            tokens = size["batch_size"] * size["block_size"]
            speeds: dict[str, list[float]] = {"nanogpt eager": [], "nanogpt compiled": [], "gptmill": []}
            for _ in range(arguments.rounds):
                for side, times in (
                    ("nanogpt eager", nanogpt(arguments.nanogpt, work, size, device, compiled=False)),
                    ("nanogpt compiled", nanogpt(arguments.nanogpt, work, size, device, compiled=True)),
                    ("gptmill", gptmill(work, size, device)),
                ):
                    speeds[side].append(1000 * tokens / statistics.median(times))
            medians = {side: statistics.median(values) for side, values in speeds.items()}
            best = max(medians["nanogpt eager"], medians["nanogpt compiled"])
            found[name] = {**medians, "ratio": medians["gptmill"] / best}
            row = ", ".join(f"{side} {value:,.0f}" for side, value in medians.items())
            print(f"{name}: tokens/s {row}; gptmill is {medians['gptmill'] / best:.2f}x nanoGPT's best", flush=True)
    machine = {
        "processor": detect_machine(arguments.device).name,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    sizes = SIZES[arguments.device]
    record = {"machine": machine, "rounds": arguments.rounds, "sizes": sizes, "tokens_per_second": found}
    results = ROOT / "benchmarks" / "results" / f"speed_{arguments.device}.json"
    results.write_text(json.dumps(record, indent=1) + "\n")
    print(f"kept in {results.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
