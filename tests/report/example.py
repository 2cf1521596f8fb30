"""A run folder with everything that a run can record, written by the recorder itself, without training anything."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gptmill.events import (
    Alarm,
    CheckpointSaved,
    EvalDone,
    Event,
    FirstSteps,
    Notice,
    RunDone,
    RunStarted,
    Samples,
    StepDone,
)
from gptmill.track.jsonl import METRICS, JsonlRecorder

TOKENS = 1024  # of a step
FLOPS_PER_TOKEN = 10_000_000
LAYERS = ["wte.weight", *(f"blocks.{n}.{part}" for n in range(6) for part in ("attention.qkv", "attention.out", "ffn"))]


def write_example(
    folder: Path, *, n_steps: int = 400, floor: float = 1.4, seed: int = 0, config: dict[str, Any] | None = None
) -> Path:
    """A run whose validation loss falls from 4.5 + floor towards ``floor``, with looks, alarms and samples."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"learning_rate": 3e-3, "n_layer": 6, "dataset": "tiny", **(config or {})}
    write_json(folder / "config.json", {"format": "gptmill-run", "keys": {
        key: {"value": value, "origin": "quick.py:3" if key != "dataset" else "default"} for key, value in keys.items()
    }})  # fmt: skip
    advice = {
        "level": "note",
        "key": "max_iters",
        "says": "few tokens",
        "because": "about 20 are optimal",
        "try_": "more",
    }
    write_json(folder / "plan.json", {
        "architecture": "6L-6H-384D-RoPE-RMS-SwiGLU-PreNorm", "params": 10_700_000, "flops_per_token": FLOPS_PER_TOKEN,
        "device": "cuda", "device_name": "NVIDIA H100", "device_memory": 85_000_000_000, "dtype": "bfloat16",
        "compile": True, "world_size": 1, "shape": {"attention_backend": "sdpa"}, "advice": [advice],
    })  # fmt: skip
    write(folder, *events(n_steps, floor, random.Random(seed)))
    restamp(folder / METRICS)
    return folder


def restamp(metrics: Path) -> None:
    """Give each line the time at which it would have been written had the steps taken what they say."""
    now, lines = datetime(2026, 1, 1, tzinfo=UTC), []
    for line in metrics.read_text().splitlines():
        fields = json.loads(line)
        now += timedelta(seconds=fields.get("seconds", 0) + fields.get("time_ms", 0) / 1e3 + 0.001)
        lines.append(json.dumps({**fields, "time": now.isoformat()}) + "\n")
    metrics.write_text("".join(lines))


def write(folder: Path, *events: Event) -> None:
    recorder = JsonlRecorder(folder, lambda: {"iters": 2})
    for event in events:
        recorder(event)
    recorder.close()


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value))


def events(n_steps: int, floor: float, chance: random.Random) -> list[Event]:
    found: list[Event] = [RunStarted(0, n_steps, TOKENS), EvalDone(0, floor + 4.5, floor + 4.5, True, 0.2)]
    for iter in range(1, n_steps + 1):
        loss = floor + 4.5 * math.exp(-5 * iter / n_steps)
        found.append(step(iter, loss + chance.gauss(0, 0.08), n_steps, chance))
        if iter == 15:
            found.append(
                FirstSteps(iter, "plan and reality", 11_400_000_000, 11_000_000_000, 0.1, 0.09, 41.0, "calibrated")
            )
        if iter % max(1, n_steps // 10) == 0:
            found.append(EvalDone(iter, loss, loss + 0.12, True, 0.2))
            found.append(CheckpointSaved(iter, f"checkpoints/step_{iter:08d}", "eval", True, 0.05, 1000))
        if iter == n_steps // 3:
            found.append(Alarm(iter, "loss_spike", "loss 6.1 is 4.2 above its usual", None, (800, 900), "warn"))
        if iter % max(1, n_steps // 4) == 0:
            said = f"upon step {iter} the fox\n    jumped over def __init__(self):\n\treturn"
            found.append(Samples(iter, ({"prompt": "The quick brown fox", "text": said},)))
    return [*found, Notice(n_steps, "dropout is off"), RunDone(n_steps, floor)]


def step(iter: int, loss: float, n_steps: int, chance: random.Random) -> StepDone:
    seconds = 0.1 * chance.lognormvariate(0, 0.05) + (3.0 if iter == 1 else 0.0)
    times = {"data": 0.02 * seconds, "compute": 0.8 * seconds, "communication": 0.0, "optimizer": 0.1 * seconds}
    peak, per_second = 989.4e12, TOKENS / seconds
    mfu = {"mfu": per_second * 2.5e10 / peak, "hardware_peak_tflops": 989.4, "gpu_name": "NVIDIA H100", "precision": "bf16",
           "flops_per_token": FLOPS_PER_TOKEN}  # fmt: skip
    gradients = weights = None
    if iter % 10 == 0:
        norms = {name: 10 ** (-1 - n / 6 + chance.gauss(0, 0.1)) for n, name in enumerate(LAYERS)}
        gradients = {"global_norm": 0.7, "layers": norms}
    if iter % 20 == 0:
        looks = {name: {"norm": 3.0, "update_ratio": 1e-3 * chance.lognormvariate(0, 0.4)} for name in LAYERS}
        weights = {"layers": looks, "frozen": ["wpe.weight"]}
    return StepDone(
        iter, loss=loss, lr=3e-3 * min(1, iter / 40) * (1 - 0.9 * iter / n_steps), grad_norm=0.7 * chance.lognormvariate(0, 0.3),
        tokens=TOKENS, seconds=seconds, times=times, memory={"max_allocated_gb": 11.5, "host_gb": 2.1},
        gradients=gradients, weights=weights, mfu=mfu,
    )  # fmt: skip
