"""Measures, and keeps the figures.

    python -m benchmarks.speed --nanogpt CHECKOUT [--hf PYTHON] [--litgpt PYTHON] [--device cuda] [--sizes S B] [--rounds 5]

Machines are noisy, so only the ratio of medians from one run means anything. nanoGPT runs eager and
compiled, the others with the settings that are fastest on the device, gptmill with no flag for speed. MFU is against the
fastest matrix product of this machine in bfloat16, measured in every round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import machine, matmul_peak
from benchmarks.speed.sides import ROOT, Measured, Peers, measure, sides
from benchmarks.speed.sizes import SIZES, Size, make_data


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--hf", type=Path, help="a Python with torch, transformers and accelerate")
    parser.add_argument("--litgpt", type=Path, help="a Python with torch and litgpt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=sorted(SIZES), default="cpu")
    parser.add_argument(
        "--sizes", nargs="+", metavar="SIZE", help="; ".join(f"{d}: {', '.join(s)}" for d, s in SIZES.items())
    )
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/speed_DEVICE.json")
    asked = parser.parse_args()
    peers = Peers(*(path and path.absolute() for path in (asked.nanogpt, asked.hf, asked.litgpt)))
    check(peers)
    out = asked.out or ROOT / "benchmarks" / "results" / f"speed_{asked.device}.json"
    here = machine(asked.device)
    kept: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    if kept.get("machine") != here:
        kept = {"machine": here, "sizes": {}}  # figures of two machines have no ratio
    if unknown := set(asked.sizes or ()) - SIZES[asked.device].keys():
        parser.error(f"--sizes: {', '.join(sorted(unknown))}; there are {', '.join(SIZES[asked.device])}")
    chosen = {name: SIZES[asked.device][name] for name in asked.sizes or SIZES[asked.device]}
    for name, size in chosen.items():
        found = compare(peers, size, asked.device, asked.rounds)
        kept["sizes"][name] = {"size": vars(size), "rounds": asked.rounds, **found}
        out.write_text(json.dumps(kept, indent=1) + "\n")
        print(table(name, found), flush=True)
    print(f"kept in {out}")


def check(peers: Peers) -> None:
    if peers.nanogpt and not (peers.nanogpt / "train.py").is_file():
        raise SystemExit(f"--nanogpt {peers.nanogpt}: no train.py there; clone nanoGPT and name its folder")
    for flag, python in (("--hf", peers.hugging_face), ("--litgpt", peers.litgpt)):
        if python and not python.is_file():
            raise SystemExit(f"{flag} {python}: no such program; make a virtual environment and name its bin/python")


def compare(peers: Peers, size: Size, device: str, rounds: int) -> dict[str, Any]:
    """Medians over rounds in which every side has one turn."""
    seen: dict[str, list[Measured]] = {}
    peaks: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="gptmill-speed-") as folder:
        work = Path(folder)
        make_data(work / "data" / "bench", size.vocab_size)
        for _ in range(rounds):
            peaks.append(matmul_peak(device))
            for side, (python, command) in sides(peers, device).items():
                seen.setdefault(side, []).append(measure(side, python, command, work, size, device))
    peak = {dtype: max(each[dtype] for each in peaks) for dtype in peaks[0]}
    flops = flops_per_token(size)
    rows = {}
    for side, each in seen.items():
        speed = statistics.median(one.tokens_per_second for one in each)
        rows[side] = {
            "tokens_per_second": speed,
            "mfu": speed * flops / peak["bfloat16"],
            "peak_memory": statistics.median(one.peak for one in each),
            "first_step_seconds": statistics.median(one.first_step for one in each),
            "losses": each[-1].losses,
        }
    return {"flops_per_token": flops, "matmul_peak": peak, "sides": rows}


def flops_per_token(size: Size) -> int:
    """Forward and backward, as the plan counts them."""
    from gptmill.plan.flops import flops_per_token as counted
    from gptmill.shapes import ModelShape

    shape = ModelShape(
        n_layer=size.n_layer, n_head=size.n_head, n_embd=size.n_embd, block_size=size.block_size,
        vocab_size=size.vocab_size, ffn_dim=4 * size.n_embd,
    )  # fmt: skip
    return counted(shape)


def table(name: str, found: dict[str, Any]) -> str:
    """For a person: every side, and what gptmill is of it."""
    ours = found["sides"]["gptmill"]["tokens_per_second"]
    lines = [f"{name:<22}{'tokens/s':>10}{'MFU':>7}{'memory':>11}{'first step':>12}{'gptmill is':>12}"]
    for side, row in found["sides"].items():
        lines.append(
            f"{side:<22}{row['tokens_per_second']:>10,.0f}{row['mfu']:>7.0%}{row['peak_memory'] / 2**20:>7,.0f} MiB"
            f"{row['first_step_seconds']:>10.1f} s{ours / row['tokens_per_second']:>11.2f}x"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
