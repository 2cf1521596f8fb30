"""``auto_batch_size`` under a cap: does the batch it chooses stay within the memory, and is it the largest that does?

    python -m benchmarks.auto_batch [--device cpu] [--configs 100] [--go-on]

Every config, drawn with a fixed seed, gets a device of less memory than this machine has: somewhere between what one sequence
at a time and what the whole step at once would take. A fresh process lets gptmill choose and trains with the choice; where neither
max_batch_size nor the step's own sequences bound it, a second one trains with the next larger micro-batch. On a CPU what counts is
the process's peak resident size (VmHWM) against the target, and above the cap counts as out of memory; on CUDA the cap is real
(torch.cuda.set_per_process_memory_fraction), and so is running out. Writes benchmarks/results/auto_batch_DEVICE.json.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.memory import GPT2, LLAMA, RESULTS, resident
from gptmill.config.schema import Config
from gptmill.plan.auto_batch import most_allowed
from gptmill.plan.batch import in_micro_steps
from gptmill.plan.fit import needs
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts, Machine, Plan
from gptmill.units import size

SEED = 60
STEPS = 3  # the optimizer's states exist from the end of the first on
WORK = {"cpu": 6e11, "cuda": 2e15}  # FLOP of a config's steps, at most
SIZES = {
    "cpu": [(2, 4, 256), (4, 4, 256), (6, 6, 384), (4, 8, 512)],
    "cuda": [(12, 12, 768), (24, 16, 1024), (36, 20, 1280)],
}
BLOCKS = {"cpu": [64, 128, 256, 512], "cuda": [256, 512, 1024]}


def settle(config: dict[str, Any], memory: int | None = None) -> Plan:
    """The plan on data that is not there, and on a device with this many bytes."""
    machine: Machine = detect_machine(config["device"])
    data = DataFacts("none", "none", 10**9, 10**8, config["vocab_size"], None, None)
    return make_plan(Config(**config), data=data, machine=replace(machine, memory=memory or machine.memory))


def draw(device: str, n: int) -> Iterator[dict[str, Any]]:
    """Configs and caps [bytes]."""
    dice, found = random.Random(SEED), 0
    while found < n:
        n_layer, n_head, n_embd = dice.choice(SIZES[device])
        config: dict[str, Any] = {
            "device": device, "n_layer": n_layer, "n_head": n_head, "n_embd": n_embd,
            "block_size": dice.choice(BLOCKS[device]), "vocab_size": dice.choice([256, 8192, 50304]),
            "dtype": dice.choice(["float32", "bfloat16"]), "dropout": dice.choice([0.0, 0.0, 0.1]), "compile": False,
            "activation_checkpointing": dice.choice([False, False, True]), **dice.choice([GPT2, LLAMA]),
            "batch_size": 1, "auto_batch_size": True, "effective_batch_size": dice.randint(16, 160),
            "target_memory_utilization": dice.choice([0.7, 0.8, 0.9]),
            "max_batch_size": dice.choice([None, None, None, dice.randint(4, 64)]),
        }  # fmt: skip
        plan = settle(config)
        work = STEPS * plan.tokens_per_iter * plan.flops_per_token * (4 if plan.dtype == "float32" else 1)
        if work > WORK[device]:
            continue
        least = needs(in_micro_steps(plan, plan.effective_batch_size, 1))
        whole = needs(in_micro_steps(plan, 1, plan.effective_batch_size))
        cap = int(dice.uniform(1.1 * least, 1.05 * whole) / config["target_memory_utilization"])
        if whole > 1.2 * least and cap < 0.7 * (plan.device_memory or 0):
            found += 1
            yield {"config": config, "cap": cap}


def train(config: dict[str, Any], cap: int, split: int | None) -> dict[str, Any]:
    """Steps in this process, at gptmill's choice or in ``split`` micro-steps: the batch and the bytes at the peak."""
    import torch

    from gptmill.cli import auto_batch
    from gptmill.cli.parts import new_state
    from gptmill.cli.ranks import Material
    from gptmill.errors import is_out_of_memory
    from gptmill.parallel.launch import Place
    from gptmill.parallel.single import Single
    from gptmill.train.step import train_step
    from gptmill.train.watch import Watch

    plan = settle(config, cap)
    if plan.device == "cuda":
        torch.cuda.set_per_process_memory_fraction(cap / torch.cuda.get_device_properties(0).total_memory)
    state, engine = new_state(plan), Single(Place())
    material = Material({}, {}, None, state, engine, None)  # type: ignore[arg-type]
    if split is None:
        planned = plan
        tried = remembered(auto_batch)
        plan = auto_batch.try_batch_size(plan, material, True)
    else:
        planned = plan = in_micro_steps(plan, split, most_allowed(plan))
    forward, watch = engine.wrap(state.model, plan), Watch(plan, state)

    def take(first: int, count: int) -> np.ndarray:
        return np.random.default_rng(first).integers(0, plan.shape.vocab_size, (count, plan.shape.block_size + 1))

    if plan.device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")  # the run's peak, not the trials'
    else:
        torch.cuda.reset_peak_memory_stats()
    found: dict[str, Any] = {
        "batch_size": plan.batch_size,
        "micro_steps": plan.micro_steps,
        "planned": planned.batch_size,
    }
    found |= {"target": plan.memory_target, "needs": needs(plan), "ran_out": False}
    found |= {"tried": tried} if split is None else {}
    try:
        for _ in range(STEPS):
            train_step(state, plan, engine, forward, take, watch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        found["ran_out"] = True
    on_host = plan.device == "cpu"
    found["used"] = resident("VmHWM") if on_host else needs_context() + torch.cuda.max_memory_reserved()
    return found


def remembered(auto_batch: Any) -> list[tuple[int, int | None]]:
    """The list that every trial's micro-batch and bytes will be added to."""
    tried: list[tuple[int, int | None]] = []

    def remember(trial: Callable[..., int | None]) -> Callable[..., int | None]:
        def take(plan: Plan, *more: Any) -> int | None:
            used = trial(plan, *more)
            tried.append((plan.batch_size, used))
            return used

        return take

    for name in ("trial_apart", "trial_here"):
        setattr(auto_batch, name, remember(getattr(auto_batch, name)))
    return tried


def needs_context() -> int:
    """Bytes of a GPU that are taken and not by PyTorch's allocator; what others hold there counts."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved()


def in_a_process(case: dict[str, Any], split: int | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.auto_batch", "--train", json.dumps({**case, "split": split})]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{case}\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def judge(case: dict[str, Any]) -> dict[str, Any]:
    """What was chosen, what it took, and what the next larger would have taken."""
    found = in_a_process(case)
    config, target = case["config"], found["target"]
    row = {
        **case,
        **found,
        "use": found["used"] / target,
        "out_of_memory": found["ran_out"] or found["used"] > case["cap"],
    }
    larger = None
    if found["micro_steps"] > 1:
        larger = in_micro_steps(settle(config), found["micro_steps"] - 1, config["effective_batch_size"]).batch_size
    row["bound"] = (
        "step" if larger is None else "max_batch_size" if larger > (config["max_batch_size"] or larger) else "memory"
    )
    if row["bound"] == "memory":
        row["larger"] = in_a_process(case, found["micro_steps"] - 1)
        row["larger_exceeds"] = row["larger"]["ran_out"] or row["larger"]["used"] > target
        trials = dict(found["tried"])  # the same, by what the choice went by
        row["larger_exceeded_when_tried"] = larger in trials and (trials[larger] is None or trials[larger] > target)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--configs", type=int, default=100)
    parser.add_argument("--go-on", action="store_true", help="after the configs whose results are on file")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        print(json.dumps(train(**json.loads(args.train))))
        return
    path = RESULTS / f"auto_batch_{args.device}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if args.go_on else []
    for case in islice(draw(args.device, args.configs), len(rows), None):
        began = time.perf_counter()
        row = judge(case) | {"seconds": time.perf_counter() - began}
        rows.append(row)
        told = f"batch {row['batch_size']} of {case['config']['effective_batch_size']} (planned {row['planned']})"
        next_one = (
            f", {row['larger']['batch_size']} takes {row['larger']['used'] / row['target']:.2f}"
            if "larger" in row
            else ""
        )
        bad = " OUT OF MEMORY" if row["out_of_memory"] else ""
        print(f"{row['use']:.2f} of {size(row['target'])}, {told}, bound by {row['bound']}{next_one}{bad}", flush=True)
        path.write_text(json.dumps(kept(args.device, rows), indent=1) + "\n")
    print({key: value for key, value in kept(args.device, rows).items() if key not in ("rows", "machine")})


def kept(device: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the results are in short, and all of them."""
    bound = [row for row in rows if row["bound"] == "memory"]
    return {
        "machine": asdict(detect_machine(device)),
        "configs": len(rows),
        "out_of_memory": sum(row["out_of_memory"] for row in rows),
        "above_target": sum(row["use"] > 1 for row in rows),
        "bound_by_memory": len(bound),
        "median_use": median(row["use"] for row in bound) if bound else None,
        "larger_exceeds": sum(row["larger_exceeds"] for row in bound),
        "larger_exceeded_when_tried": sum(row["larger_exceeded_when_tried"] for row in bound),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
