"""What looking after a training costs, and whether it keeps quiet while nothing is wrong.

    python -m benchmarks.health [--steps 5000] [--timed_steps 40]

1. clean runs: several small models on the embedded corpus through the real command; every alarm is a false one.
2. cost: the share of a step's processor time that is spent on watching it, everything at its default, for a model of
   6 layers of 384 and a batch of 16 x 256.

Prints the figures, writes them to benchmarks/results/health.json, and exits 1 when there was an alarm or the cost is above 1%.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gptmill.cli.parts import new_state
from gptmill.config.schema import Config
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts
from gptmill.train.step import train_step
from gptmill.train.watch import Watch

ROOT = Path(__file__).parents[1]
SMALL = ["--n_layer=2", "--n_head=2", "--n_embd=64", "--block_size=64", "--eval_interval=2500", "--eval_iters=4"]
CLEAN = {
    "batch 8": ["--batch_size=8"],
    "batch 8, GPT-2 parts": ["--batch_size=8", "--preset=gpt2", "--seed=1"],
    "batch 1": ["--batch_size=1", "--learning_rate=1e-3", "--seed=2"],
    "batch 4, 10 steps of warmup": ["--batch_size=4", "--warmup_iters=10", "--seed=3"],
}
LARGEST_SHARE = 0.01


def clean(steps: int) -> dict[str, list[str]]:
    """What was said in runs with nothing wrong in them."""
    said = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, changes in CLEAN.items():
            out = Path(folder) / name.replace(" ", "_")
            argv = ["quick", *SMALL, *changes, f"--max_iters={steps}", f"--out_dir={out}", f"--data_dir={folder}/data"]
            subprocess.run([sys.executable, "-m", "gptmill", "train", *argv], check=True, capture_output=True, cwd=ROOT)
            records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            assert sum(fields["event"] == "step_done" for fields in records) == steps
            said[name] = [fields["says"] for fields in records if fields["event"] == "alarm"]
            print(f"{steps:,} clean steps, {name}: {len(said[name])} alarms", *said[name], sep="\n  ", flush=True)
    return said


class Timed(Watch):
    """A watch with an eye on itself."""

    spent = 0.0  # processor seconds in its own methods


def timed(name: str) -> Callable[..., Any]:
    method = getattr(Watch, name)

    def call(self: Timed, *args: Any) -> Any:
        began = time.process_time()
        try:
            return method(self, *args)
        finally:
            self.spent += time.process_time() - began

    return call


for name in ("begin", "batch", "gradients", "approves", "finish", "keep"):
    setattr(Timed, name, timed(name))


def cost(steps: int) -> dict[str, float]:
    """Processor seconds of a step, and those of them spent on watching it.

    The steps hold a look at the gradients in every 10 and the look at the weights that comes in every 100. A difference
    between steps with and without would drown: on a shared machine they vary by more than all of this costs.
    """
    config = Config(
        n_layer=6, n_head=6, n_embd=384, block_size=256, batch_size=16, gradient_accumulation_steps=1, device="cpu"
    )
    data = DataFacts("noise", "nowhere", 10**7, 10**6, vocab_size=65, tokenizer=None, sha256=None)
    plan = make_plan(config, data=data, machine=detect_machine("cpu"))
    state, noise = new_state(plan), np.random.default_rng(0).integers(65, size=10**6)

    def take(first: int, count: int) -> np.ndarray:
        return np.stack([noise[n * 256 % 999_000 :][:257] for n in range(first, first + count)])

    watch = Timed(plan, state)
    for _ in range(2):  # allocation
        train_step(state, plan, Single(Place()), state.model, take, watch)
    state.iter, watch.spent = 100 - steps // 2, 0.0
    began = time.process_time()
    for _ in range(steps):
        done = train_step(state, plan, Single(Place()), state.model, take, watch)
        assert bool(done.gradients) == (done.iter % 10 == 0) and bool(done.weights) == (done.iter == 100)
    seconds = time.process_time() - began
    return {"seconds_per_step": seconds / steps, "watching": watch.spent / steps, "share": watch.spent / seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000, help="of each clean run")
    parser.add_argument("--timed_steps", type=int, default=40, help="a multiple of 20")
    args = parser.parse_args()
    found = cost(args.timed_steps)
    print(
        f"watching a step of 6 layers of 384, batch 16 x 256: {found['watching'] * 1e3:.1f} of "
        f"{found['seconds_per_step'] * 1e3:,.0f} ms processor time: {found['share']:.2%}",
        flush=True,
    )
    said = clean(args.steps)
    result = {
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "cost": found,
        "steps": args.steps,
        "alarms": said,
    }
    (ROOT / "benchmarks" / "results" / "health.json").write_text(json.dumps(result, indent=2) + "\n")
    return int(any(said.values()) or found["share"] > LARGEST_SHARE)


if __name__ == "__main__":
    sys.exit(main())
