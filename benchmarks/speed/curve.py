"""That faster is not different: the same weights and the same batches through nanoGPT's code and through ``gptmill train``.

    python -m benchmarks.speed.curve --nanogpt CHECKOUT [--steps 300]

Both begin with the weights that gptmill draws, exported as nanoGPT's checkpoint, and see the embedded corpus's windows in the same
order, in float32 and in bfloat16; that of nanoGPT in float32 is what the others are held against. Writes benchmarks/results/curve_cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

DTYPES = ("float32", "bfloat16")
RESULT = Path(__file__).parents[1] / "results" / "curve_cpu.json"
SETTINGS = {
    "learning_rate": 1e-3,
    "warmup_iters": 50,
    "beta1": 0.9,
    "beta2": 0.95,
    "weight_decay": 0.1,
    "grad_clip": 1.0,
}
MODEL = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "batch_size": 12, "gradient_accumulation_steps": 1}
QUIET = {
    "dropout": 0.0,
    "schedule": "constant",
    "eval_iters": 1,
    "eval_interval": 10**6,
    "log_interval": 100,
    "device": "cpu",
}


def gptmill(folder: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "gptmill", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"gptmill {' '.join(words)} failed:\n{done.stderr[-2000:]}")


def trained(folder: Path, name: str, steps: int, dtype: str, **more: object) -> list[float]:
    """The loss of every step of a run."""
    keys = {**MODEL, **QUIET, **SETTINGS, "max_iters": steps, "dtype": dtype, "out_dir": name, **more}
    gptmill(folder, "train", "--dataset=python_stdlib", *(f"--{key}={value}" for key, value in keys.items()))
    events = map(json.loads, (folder / name / "metrics.jsonl").read_text().splitlines())
    return [event["loss"] for event in events if event["event"] == "step_done"]


def batches(folder: Path, steps: int) -> np.ndarray:
    """[steps, batch, block + 1]: what the runs saw."""
    from gptmill.data.batches import Batches
    from gptmill.data.shards import open_tokens

    plan = json.loads((folder / "start" / "plan.json").read_text())
    B, seed = MODEL["batch_size"], plan["seed"]
    tokens = open_tokens(folder / plan["data_path"] / "train.bin")
    taken = Batches(tokens, MODEL["block_size"], seed, plan["sampling"]).take(0, steps * B)
    return taken.reshape(steps, B, -1)


def nanogpt(folder: Path, source: Path, dtype: str) -> list[float]:
    """The loss of every step in its code; bfloat16 by autocast, which its train.py does on CUDA only."""
    script = Path(__file__).parent / "peers" / "nanogpt_curve.py"
    asked = json.dumps({**SETTINGS, "bfloat16": dtype == "bfloat16"})
    words = [sys.executable, script, folder / "nano/ckpt.pt", folder / "batches.npy", asked]
    where = {**os.environ, "PYTHONPATH": str(source.resolve())}
    done = subprocess.run(words, env=where, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"nanoGPT failed:\n{done.stderr[-2000:]}")
    losses: list[float] = json.loads(done.stdout.partition("losses: ")[2])
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of nanoGPT")
    parser.add_argument("--steps", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gptmill-curve-") as name:
        folder = Path(name)
        trained(folder, "start", 1, "float32", learning_rate=0.0)  # a step that changes nothing
        gptmill(folder, "export", "--run", "start", "--format", "nanogpt", "--out", "nano")
        np.save(folder / "batches.npy", batches(folder, asked.steps))
        losses = {f"nanoGPT {dtype}": nanogpt(folder, asked.nanogpt, dtype) for dtype in DTYPES}
        losses |= {f"gptmill {dtype}": trained(folder, dtype, asked.steps, dtype) for dtype in DTYPES}
    exact = losses["nanoGPT float32"]
    apart = {side: np.abs(np.subtract(each, exact)) for side, each in losses.items() if each is not exact}
    found = {
        "steps": asked.steps,
        "apart_most": {side: float(each.max()) for side, each in apart.items()},
        "apart_mean": {side: float(each.mean()) for side, each in apart.items()},
        "last_50_mean": {side: float(np.mean(each[-50:])) for side, each in losses.items()},
        "losses": losses,
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print({name: value for name, value in found.items() if name != "losses"})


if __name__ == "__main__":
    main()
