"""How soon a loss is reached, process start and evaluations included: the shipped config beside nanoGPT's command for a CPU.

    python -m benchmarks.speed.learning --nanogpt CHECKOUT --text input.txt [--seeds 3]

The text is tiny Shakespeare, by characters. One after the other, seed by seed, so that both see the same noise of the
machine. Writes benchmarks/results/learning_cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.speed.machine import machine
from benchmarks.speed.sides import PEERS, ROOT

LOSS = 1.88  # where nanoGPT's command ends, by its README
VAL = re.compile(r"^step (\d+): .*val loss ([\d.]+)")
DOCUMENTED = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 "
    "--n_embd=128 --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
)
RESULT = ROOT / "benchmarks" / "results" / "learning_cpu.json"


def followed(words: list[str], folder: Path) -> dict[str, Any]:
    """Seconds from the start of a process to its end, and to each of its evaluations with their step and validation loss."""
    began = time.perf_counter()
    seen: list[tuple[float, int, float]] = []
    where = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, cwd=folder, env=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := VAL.match(line):
                seen.append((time.perf_counter() - began, int(found[1]), float(found[2])))
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{''.join(lines[-20:])}")
    reached = next((at for at, _, loss in seen if loss <= LOSS), None)
    return {"seconds": seconds, "val_loss": seen[-1][2], "reached": reached, "evaluations": seen}


def nanogpt(folder: Path, source: Path, seed: int) -> dict[str, Any]:
    """Its documented command; its seed is a number in its code."""
    for name in ("model.py", "configurator.py", "config"):
        if not (folder / name).exists():
            (folder / name).symlink_to(source.resolve() / name)
    (folder / "train.py").write_text((source / "train.py").read_text().replace("1337", str(seed)))
    words = ["train.py", "config/train_shakespeare_char.py", *DOCUMENTED.split()]
    return followed([sys.executable, "-u", str(PEERS / "watched.py"), *words], folder)


def gptmill(folder: Path, seed: int) -> dict[str, Any]:
    words = ["train", "shakespeare_char_cpu", f"--seed={seed}", "--device=cpu", "--out_dir=out", "--overwrite"]
    found = followed([sys.executable, "-m", "gptmill", *words], folder)
    run = folder / "out"
    whole = [sys.executable, "-m", "gptmill", "eval", "--run", str(run), "--device=cpu", "--json"]
    done = subprocess.run(whole, cwd=folder, capture_output=True, text=True, check=True)
    plan = json.loads((run / "plan.json").read_text())
    return {**found, "loss_of_all_validation_text": json.loads(done.stdout)["loss"], "params": plan["params"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of nanoGPT")
    parser.add_argument("--text", type=Path, required=True, help="tiny Shakespeare, input.txt")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"nanoGPT": [], "gptmill": []}
    with tempfile.TemporaryDirectory(prefix="gptmill-learning-") as name:
        folder = Path(name)
        data = folder / "data" / "shakespeare_char"
        data.mkdir(parents=True)
        shutil.copyfile(asked.text, data / "input.txt")
        prepare = [sys.executable, "-m", "gptmill", "prepare", "--dataset", "shakespeare_char"]
        subprocess.run(prepare, cwd=folder, check=True)
        (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": 65}))  # nanoGPT reads the same tokens
        for seed in range(1, asked.seeds + 1):
            found["nanoGPT"].append(nanogpt(folder, asked.nanogpt, seed))
            found["gptmill"].append(gptmill(folder, seed))
            print(told(found), flush=True)
    asked.out.write_text(json.dumps({"machine": machine("cpu"), **found}, indent=1) + "\n")


def told(found: dict[str, list[dict[str, Any]]]) -> str:
    """For a person, of the last seed and of all; each run is held against nanoGPT's of the same seed."""
    lines = [
        f"{side}: {run['seconds']:.1f} s to a validation loss of {run['val_loss']:.4f}, {LOSS} after "
        + (f"{run['reached']:.1f} s" if run["reached"] else "more than that")
        for side, run in ((side, found[side][-1]) for side in ("nanoGPT", "gptmill"))
    ]
    pairs = [Pair.of(*each) for each in zip(found["nanoGPT"], found["gptmill"])]
    shares = ", ".join(f"1/{1 / pair.share:.1f}" if pair.share else "never" for pair in pairs)
    losses = ", ".join(f"{pair.loss_then:.4f}" if pair.loss_then else "none yet" for pair in pairs)
    return "\n".join([*lines, f"to {LOSS}, of nanoGPT's time: {shares}", f"loss when nanoGPT ends: {losses}"])


class Pair(NamedTuple):
    """Two runs of one seed. Args: share: of nanoGPT's time, to LOSS. loss_then: gptmill's last when nanoGPT had ended."""

    share: float | None
    loss_then: float | None

    @classmethod
    def of(cls, theirs: dict[str, Any], ours: dict[str, Any]) -> Pair:
        seen = [loss for at, _, loss in ours["evaluations"] if at <= theirs["seconds"]]
        share = ours["reached"] / theirs["seconds"] if ours["reached"] else None
        return cls(share, seen[-1] if seen else None)


if __name__ == "__main__":
    main()
