"""The plan's memory held against what is really taken, over many configs.

    python -m benchmarks.memory --device cpu [--configs 36] [--largest 4]
    python -m benchmarks.memory --device cuda [--configs 64] [--parallel 8]
    python -m benchmarks.memory --device cpu --again      # what is measured already, beside today's predictions

Every config trains three steps in a process of its own. On a CPU what counts is the process's peak resident size (VmHWM)
above what it held after all imports and before the model was built; on CUDA torch.cuda.max_memory_allocated(). Configs are
drawn with a fixed seed; what the plan says does not fit is not run. On CUDA several run side by side, as many as fit, for most of
their time is compiling. Prints the errors and the worst five, and writes every measurement to benchmarks/results/memory_DEVICE.json.

A loss is whole, not in chunks, where a batch has at most 2^24 (CPU) or 2^27 (CUDA) logits.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from gptmill.config.schema import Config
from gptmill.plan.hardware import detect_machine
from gptmill.plan.memory import memory_of
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts, Machine, Plan
from gptmill.units import size

RESULTS = Path(__file__).parent / "results"
SEED = 6
STEPS = 3  # the optimizer's states exist from the end of the first on
LLAMA = {"normalization": "rmsnorm", "position_encoding": "rope", "ffn_type": "swiglu", "weight_tying": False}
GPT2 = {"normalization": "layernorm", "bias": True}
SIZES: dict[str, list[tuple[int, int, int]]] = {  # layers, heads, width: 3M to 124M, and 10M to 1.6B without embeddings
    "cpu": [(2, 4, 256), (4, 4, 256), (6, 6, 384), (6, 8, 512), (12, 8, 512), (12, 12, 768)],
    "cuda": [(6, 6, 384), (12, 12, 768), (24, 16, 1024), (36, 20, 1280), (18, 18, 2304), (48, 25, 1600)],
}
CHOICES: dict[str, dict[str, list[Any]]] = {
    "cpu": {
        "block_size": [64, 128, 256, 512, 1024, 2048],
        "batch_size": [1, 2, 4, 8, 12, 16, 32, 64],
        "vocab_size": [256, 8192, 50304],
        "compile": [False],
    },
    "cuda": {
        "block_size": [128, 256, 512, 1024, 2048],
        "batch_size": [1, 2, 4, 8, 16, 32, 64],
        "vocab_size": [8192, 50304],
        "compile": [False, True, True],
    },
}
EVERYWHERE: dict[str, list[Any]] = {
    "dtype": ["float32", "bfloat16"],
    "activation_checkpointing": [False, False, True],
    "gradient_accumulation_steps": [1, 2],
    "dropout": [0.0, 0.0, 0.1],
    "attention_backend": ["auto", "auto", "sdpa", "manual"],
}
DEEPEST_COMPILED = 24  # layers: a compiler's time grows with them
WORK = {"cpu": 2e12, "cuda": 4e15}  # FLOP of a config's steps, at most


def settle(config: dict[str, Any], machine: Machine | None = None) -> Plan:
    """The plan of one config, on data that is not there."""
    data = DataFacts("none", "none", 10**9, 10**8, config["vocab_size"], None, None)
    return make_plan(Config(**config), data=data, machine=machine or detect_machine(config["device"]))


def draw(device: str, n: int, largest: float, machine: Machine, seed: int = SEED) -> list[dict[str, Any]]:
    """``n`` configs, of at most ``largest`` bytes by the plan; every size about equally often."""
    dice = random.Random(seed)
    found: list[dict[str, Any]] = []
    while len(found) < n:
        n_layer, n_head, n_embd = SIZES[device][len(found) % len(SIZES[device])]
        chosen = {key: dice.choice(values) for key, values in {**CHOICES[device], **EVERYWHERE}.items()}
        parts = dice.choice([GPT2, LLAMA])
        if chosen["attention_backend"] == "sdpa":
            chosen["dropout"] = 0.0  # with it PyTorch's CPU kernel is none: it falls back to the plain formula
        if n_layer > DEEPEST_COMPILED:
            chosen["compile"] = False
        config = {"device": device, "n_layer": n_layer, "n_head": n_head, "n_embd": n_embd, **chosen, **parts}
        plan = settle(config, machine)
        work = STEPS * plan.tokens_per_iter * plan.flops_per_token
        if plan.dtype == "float32":
            work *= 4
        if memory_of(plan).peak < largest and work < WORK[device] and config not in found:
            found.append(config)
    return found


def train(config: dict[str, Any]) -> dict[str, int]:
    """Three steps of a config in this process: bytes at its peak."""
    import numpy as np
    import torch

    from gptmill.cli.parts import new_state
    from gptmill.parallel.launch import Place
    from gptmill.parallel.single import Single
    from gptmill.train.step import train_step
    from gptmill.train.watch import Watch

    plan = settle(config)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # whatever is imported on first use
    torch.set_num_threads(2) if plan.device == "cpu" else torch.cuda.init()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    state, engine = new_state(plan), Single(Place())
    forward, watch = engine.wrap(state.model, plan), Watch(plan, state)

    def take(first: int, count: int) -> np.ndarray:
        return np.random.default_rng(first).integers(0, plan.shape.vocab_size, (count, plan.shape.block_size + 1))

    for _ in range(STEPS):
        train_step(state, plan, engine, forward, take, watch)
    on_host = resident("VmHWM") - before
    found = {"host": on_host, "baseline": before}
    if plan.device == "cuda":
        found |= {"device": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
    return found


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process [bytes]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def measure(config: dict[str, Any]) -> dict[str, Any]:
    """One config in a fresh process, beside what the plan says."""
    command = [sys.executable, "-m", "benchmarks.memory", "--train", json.dumps(config)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"config": config, "failed": done.stderr.strip().splitlines()[-1:]}
    return judged(config, json.loads(done.stdout.splitlines()[-1]), detect_machine(config["device"]))


def judged(config: dict[str, Any], found: dict[str, int], machine: Machine) -> dict[str, Any]:
    """What was found beside what the plan says."""
    plan = settle(config, machine)
    memory = memory_of(plan)
    measured = found["host" if config["device"] == "cpu" else "device"]
    return {
        "config": config,
        "params": plan.params,
        "predicted": memory.peak,
        "measured": measured,
        "error": memory.peak / measured - 1,
        "parts": asdict(memory),
        "found": found,
    }


def measure_all(configs: list[dict[str, Any]], machine: Machine, parallel: int, room: float) -> list[dict[str, Any]]:
    """All configs, up to ``parallel`` at a time and no more than ``room`` bytes of them by the plan; the largest first."""
    needs = [memory_of(settle(config, machine)).peak for config in configs]
    free, turn = room, threading.Condition()

    def one(place: int) -> dict[str, Any]:
        nonlocal free
        with turn:
            turn.wait_for(lambda: needs[place] <= free)
            free -= needs[place]
        row = measure(configs[place])
        with turn:
            free += needs[place]
            turn.notify_all()
            say(row)
        return row

    with ThreadPoolExecutor(parallel) as pool:
        return list(pool.map(one, sorted(range(len(configs)), key=lambda place: -needs[place])))


def describe(row: dict[str, Any]) -> str:
    c = row["config"]
    words = [
        f"{row['params'] / 1e6:.0f}M",
        f"{c['n_layer']}x{c['n_embd']}",
        "llama" if c["normalization"] == "rmsnorm" else "gpt2",
        f"batch {c['batch_size']}x{c['block_size']}" + " twice" * (c["gradient_accumulation_steps"] > 1),
        f"V={c['vocab_size']}",
        c["dtype"],
        c["attention_backend"],
        *["dropout"] * bool(c["dropout"]),
        *["checkpointing"] * c["activation_checkpointing"],
        *["compiled"] * bool(c["compile"]),
    ]
    return " ".join(words)


def say(row: dict[str, Any]) -> None:
    if "failed" in row:
        print("failed:", row["config"], row["failed"], flush=True)
    else:
        told = f"{size(row['predicted'])} predicted, {size(row['measured'])} measured"
        print(f"{row['error']:+7.1%}  {told}: {describe(row)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--configs", type=int, default=None)
    parser.add_argument("--largest", type=float, default=None, help="GiB that a config may take")
    parser.add_argument("--parallel", type=int, default=None, help="configs at a time")
    parser.add_argument("--seed", type=int, default=SEED, help="of other configs, which join those on file")
    parser.add_argument(
        "--again", action="store_true", help="measure nothing: judge what is on file by today's predictions"
    )
    parser.add_argument("--train", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        print(json.dumps(train(json.loads(args.train))))
        return
    path = RESULTS / f"memory_{args.device}.json"
    on_file = json.loads(path.read_text()) if args.again or args.seed != SEED else {}
    if args.again:
        machine = Machine(**on_file["machine"])
        rows = [judged(row["config"], row["found"], machine) for row in on_file["rows"] if "found" in row]
        report({**on_file, "rows": rows})
        return
    import torch

    on_cpu, machine = args.device == "cpu", detect_machine(args.device)
    room = args.largest * 2**30 if args.largest else 0.85 * (machine.memory or 2**33)
    configs = draw(args.device, args.configs or (36 if on_cpu else 64), room, machine, args.seed)
    began = time.perf_counter()
    rows = on_file.get("rows", []) + measure_all(configs, machine, args.parallel or (1 if on_cpu else 8), room)
    facts = {"torch": torch.__version__, "python": platform.python_version(), "seconds": time.perf_counter() - began}
    report({"machine": asdict(machine), **facts, "rows": rows})


def report(found: dict[str, Any]) -> None:
    """Print the errors and keep everything."""
    good: list[dict[str, Any]] = [row for row in found["rows"] if "error" in row]
    errors = [abs(row["error"]) for row in good]
    middle, most = median(errors), quantiles(errors, n=20, method="inclusive")[-1]
    print(
        f"\n{len(good)} of {len(found['rows'])} configs: median error {middle:.1%}, 95th percentile {most:.1%}\nworst five:"
    )
    for row in sorted(good, key=lambda row: -abs(row["error"]))[:5]:
        say(row)
    facts = {key: value for key, value in found.items() if key in ("machine", "torch", "python", "seconds")}
    kept = {**facts, "configs": len(good), "median_error": middle, "percentile_95": most, "rows": found["rows"]}
    path = RESULTS / f"memory_{found['machine']['kind']}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
