"""What saving costs a run: GPT-2 124M, a checkpoint a minute, written in the background and, for comparison, not.

    python -m benchmarks.stall [--device cpu] [--saves 4]

Steps are taken for a minute, a checkpoint is asked for, and so on. What a save costs is the time that the steps around it took
beyond the median of the others, the wait for the copy included; its share of the wall time is that over a minute. On a GPU the wait
alone counts as well: under 100 ms a save. Writes benchmarks/results/stall_DEVICE.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from gptmill.config.schema import Config
from gptmill.events import CheckpointDue, CheckpointSaved, Notice
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts

RESULTS = Path(__file__).parent / "results"
EVERY = 60.0  # seconds


def measure(device: str, saves: int, *, behind: bool) -> dict[str, Any]:
    from gptmill.cli.parts import new_state
    from gptmill.parallel.launch import Place
    from gptmill.parallel.single import Single
    from gptmill.train import checkpointer
    from gptmill.train.step import train_step
    from gptmill.train.watch import Watch

    usual, checkpointer.BEHIND = checkpointer.BEHIND, checkpointer.BEHIND if behind else 2**62
    batch = 1 if device == "cpu" else 16
    config = Config(
        device=device, block_size=256 if device == "cpu" else 1024, batch_size=batch, gradient_accumulation_steps=1
    )
    data = DataFacts("none", "none", 10**9, 10**8, 50257, None, None)
    plan = make_plan(config, data=data, machine=detect_machine(device))
    state, engine = new_state(plan), Single(Place())
    forward, watch, ids = engine.wrap(state.model, plan), Watch(plan, state), np.random.default_rng(0)

    def take(first: int, count: int) -> np.ndarray:
        return ids.integers(plan.shape.vocab_size, size=(count, plan.shape.block_size + 1), dtype=np.int64)

    steps: list[tuple[float, bool]] = []  # seconds, and whether a checkpoint was being taken or written
    waits, written = [], []
    with tempfile.TemporaryDirectory() as folder:
        saver = checkpointer.Checkpointer(Path(folder), state, {}, keep=2)
        for _ in range(5):
            train_step(state, plan, engine, forward, take, watch)
        began = last = time.perf_counter()
        saving = False
        while len(written) < saves or saving:
            start = time.perf_counter()
            touched = saving
            if not saving and start - last >= EVERY and len(waits) < saves:
                answer = saver(CheckpointDue(state.iter, "time"))
                waits.append(time.perf_counter() - start)
                last, saving, touched = start, True, True
            else:
                answer = saver(Notice(state.iter, ""))
            for event in answer:
                if isinstance(event, CheckpointSaved):
                    written.append(event.seconds_behind or event.seconds)
                    saving = False
            train_step(state, plan, engine, forward, take, watch)
            steps.append((time.perf_counter() - start, touched))
        seconds = time.perf_counter() - began
        saver.close()
    checkpointer.BEHIND = usual
    typical = median(took for took, touched in steps if not touched)
    cost = sum(took - typical for took, touched in steps if touched) / saves
    return {
        "step": typical,
        "steps": len(steps),
        "seconds": seconds,
        "wait": median(waits),
        "longest_wait": max(waits),
        "written_in": median(written),
        "cost": cost,
        "share_of_a_minute": cost / EVERY,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--saves", type=int, default=4)
    arguments = parser.parse_args()
    found = {
        name: measure(arguments.device, arguments.saves, behind=name == "behind") for name in ("behind", "waiting")
    }
    for name, row in found.items():
        print(
            f"{name}: a save costs {row['cost']:.2f} s, {row['share_of_a_minute']:.1%} of a minute; steps wait {row['wait']:.2f} s, "
            f"it is on the disk after {row['written_in']:.2f} s; a step takes {row['step']:.2f} s",
            flush=True,
        )
    (RESULTS / f"stall_{arguments.device}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
