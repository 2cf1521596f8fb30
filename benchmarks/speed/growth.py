"""How tokens/s and memory grow with the model, the context, the batch, accumulation and the number of processes.

    python -m benchmarks.speed.growth [--device cuda]

One setting changes at a time, the others stay at BASE. Every point is a process of its own that trains for STEPS steps on the
embedded corpus without any flag for speed. The roofline is what this machine cannot exceed: matmuls at the speed of its fastest
one, and each weight's bytes of an update at the speed of its memory, both measured here, whichever takes longer. Writes
benchmarks/results/growth_DEVICE.json and docs/guide/growth_DEVICE.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.growth_picture import draw
from benchmarks.speed.machine import machine, matmul_peak
from benchmarks.speed.sides import ROOT

STEPS, UNCOUNTED = 24, 8  # a step's first ones allocate; the plan is compared with reality after step 15
UPDATE_BYTES = 28  # per parameter, once a step: AdamW reads gradient, weight and two moments, and writes the last three
ON_CPU = {
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 256,
    "block_size": 256,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
}
ON_CUDA = {
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "block_size": 1024,
    "batch_size": 16,
    "gradient_accumulation_steps": 1,
}
BASE = {"cpu": ON_CPU, "cuda": ON_CUDA}
MODELS = {
    "cpu": ((2, 2, 64), (4, 4, 128), (4, 4, 256), (6, 6, 384), (8, 8, 512)),
    "cuda": ((6, 6, 384), (12, 12, 768), (24, 16, 1024), (36, 20, 1280), (48, 25, 1600)),
}
LENGTHS = {
    "cpu": {"block_size": (64, 128, 256, 512, 1024), "batch_size": (1, 2, 4, 8, 16, 32)},
    "cuda": {"block_size": (256, 512, 1024, 2048, 4096), "batch_size": (1, 4, 16, 32, 64)},
}
ACCUMULATION = (1, 2, 4, 8)


@dataclass(frozen=True)
class Point:
    """One process or one torchrun. Args: at: where it stands on its axis, in words."""

    axis: str
    at: str
    keys: dict[str, Any]
    world_size: int = 1


def points(device: str, most_processes: int) -> list[Point]:
    """One setting at a time. On a CPU a process has one thread in the comparison of world sizes, all threads elsewhere."""
    base = BASE[device]
    found = []
    for n_layer, n_head, n_embd in MODELS[device]:
        model = {"n_layer": n_layer, "n_head": n_head, "n_embd": n_embd}
        found.append(Point("model", f"{n_layer} x {n_embd}", {**base, **model}))
    tokens = base["batch_size"] * base["block_size"]
    for T in LENGTHS[device]["block_size"]:  # as many tokens a step everywhere
        found.append(Point("block_size", str(T), {**base, "block_size": T, "batch_size": max(1, tokens // T)}))
    found += [Point("batch_size", str(B), {**base, "batch_size": B}) for B in LENGTHS[device]["batch_size"]]
    for n in ACCUMULATION:
        found.append(Point("accumulation", str(n), {**base, "gradient_accumulation_steps": n}))
    sizes = [n for n in (1, 2, 4, 8) if n <= most_processes]
    for n in sizes:  # each process has its own micro-batch
        found.append(Point("world_size", str(n), {**base, "gradient_accumulation_steps": n}, world_size=n))
    return found


def measure(point: Point, device: str, work: Path) -> dict[str, Any]:
    """Tokens/s and the memory of its first process, beside the memory that the plan had said [bytes]."""
    own = {"max_iters": STEPS, "eval_interval": 10**6, "eval_iters": 1, "device": device, "out_dir": "out"}
    words = ["--dataset=python_stdlib", *(f"--{key}={value}" for key, value in {**point.keys, **own}.items())]
    launch = [sys.executable]
    if point.axis == "world_size":
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={point.world_size}"]
    where = {**os.environ, "PYTHONPATH": str(ROOT)} | threads(point, device)
    train = [*launch, str(ROOT / "train.py"), *words, "--overwrite", "--force"]
    done = subprocess.run(train, cwd=work, env=where, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{point.axis} {point.at} failed:\n{done.stderr[-2000:]}")
    events = [json.loads(line) for line in (work / "out" / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step_done"][UNCOUNTED:]
    plan = json.loads((work / "out" / "plan.json").read_text())
    first = next(event for event in events if event["event"] == "first_steps")
    return {
        "tokens_per_second": statistics.median(step["tokens_per_second"] for step in steps),
        "memory": first["memory"],
        "planned_memory": first["planned_memory"],
        "params": plan["params"],
        "flops_per_token": plan["flops_per_token"],
        "tokens_per_iter": plan["tokens_per_iter"],
    }


def threads(point: Point, device: str) -> dict[str, str]:
    return {"OMP_NUM_THREADS": "1"} if device == "cpu" and point.axis == "world_size" else {}


def roof(found: dict[str, Any], peak: dict[str, float], world_size: int) -> float:
    """Tokens/s that this machine cannot exceed. Args: peak: of one process's share of it."""
    fastest = max(peak.get(dtype, 0.0) for dtype in ("bfloat16", "float32"))
    matmuls = found["flops_per_token"] * found["tokens_per_iter"] / world_size / fastest
    update = UPDATE_BYTES * found["params"] / peak["bandwidth"]
    return float(found["tokens_per_iter"] / max(matmuls, update))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--device", choices=sorted(BASE), default="cpu")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/growth_DEVICE.json")
    parser.add_argument("--picture", type=Path, help="default: docs/guide/growth_DEVICE.svg")
    asked = parser.parse_args()
    out = asked.out or ROOT / "benchmarks" / "results" / f"growth_{asked.device}.json"
    picture = asked.picture or ROOT / "docs" / "guide" / f"growth_{asked.device}.svg"
    import torch

    most = torch.cuda.device_count() if asked.device == "cuda" else os.cpu_count() or 1
    axes: dict[str, list[dict[str, Any]]] = {}
    peaks = {alone: matmul_peak(asked.device, {"OMP_NUM_THREADS": "1"} if alone else {}) for alone in (False, True)}
    with tempfile.TemporaryDirectory(prefix="gptmill-growth-") as folder:
        for point in points(asked.device, most):
            found = measure(point, asked.device, Path(folder))
            alone = bool(threads(point, asked.device))
            found = {"at": point.at, **found, "roof": roof(found, peaks[alone], point.world_size)}
            axes.setdefault(point.axis, []).append(found)
            print(f"{point.axis:<14}{point.at:>10}{found['tokens_per_second']:>12,.0f} tokens/s, "
                  f"{found['tokens_per_second'] / found['roof']:.0%} of the roofline, {found['memory'] / 2**20:,.0f} MiB",
                  flush=True)  # fmt: skip
    kept = {"machine": machine(asked.device), "peak": peaks[False], "peak_one_thread": peaks[True], "axes": axes}
    out.write_text(json.dumps(kept, indent=1) + "\n")
    picture.write_text(draw(kept))
    print(f"kept in {out}, drawn in {picture}")


if __name__ == "__main__":
    main()
