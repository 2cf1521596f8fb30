"""What each optimisation brings: the same training with it and without it, in turns.

    python -m benchmarks.speed.switches [--device cuda] [--rounds 3]

Every optimisation that has a switch is switched off alone, beside the settings that gptmill chooses by itself. Writes
benchmarks/results/switches_DEVICE.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.growth import BASE, Point, measure
from benchmarks.speed.machine import machine
from benchmarks.speed.sides import ROOT

VOCABULARY = 50304  # GPT-2's, where the vocabulary loss counts
WITHOUT = {
    "cpu": ("dtype=float32", "attention_backend=sdpa", "fused_optimizer=False", "chunked_loss=False", "keep_memory=False"),
    "cuda": ("dtype=float32", "attention_backend=manual", "fused_optimizer=False", "chunked_loss=False", "compile=False"),
}  # fmt: skip


def compare(device: str, rounds: int) -> dict[str, dict[str, float]]:
    """By switch ('' = none): medians over rounds of tokens/s and memory [bytes]."""
    seen: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="gptmill-switches-") as folder:
        for _ in range(rounds):
            for switch in ("", *WITHOUT[device]):
                key, _, value = switch.partition("=")
                keys = {**BASE[device], "vocab_size": VOCABULARY, **({key: value} if key else {})}
                seen.setdefault(switch, []).append(measure(Point("switch", switch, keys), device, Path(folder)))
    return {
        switch: {what: statistics.median(one[what] for one in each) for what in ("tokens_per_second", "memory")}
        for switch, each in seen.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--device", choices=sorted(BASE), default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/switches_DEVICE.json")
    asked = parser.parse_args()
    out = asked.out or ROOT / "benchmarks" / "results" / f"switches_{asked.device}.json"
    found = compare(asked.device, asked.rounds)
    kept = {"machine": machine(asked.device), "size": {**BASE[asked.device], "vocab_size": VOCABULARY}, "rounds": asked.rounds, "switches": found}  # fmt: skip
    out.write_text(json.dumps(kept, indent=1) + "\n")
    for switch, one in found.items():
        faster = found[""]["tokens_per_second"] / one["tokens_per_second"]
        print(
            f"{switch or 'by itself':<26}{one['tokens_per_second']:>10,.0f} tokens/s  x {faster:.2f}  {one['memory'] / 2**20:,.0f} MiB"
        )
    print(f"kept in {out}")


if __name__ == "__main__":
    main()
