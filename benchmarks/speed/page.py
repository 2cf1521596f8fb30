"""What the benchmarks of speed measured, as the tables of docs/guide/speed.md. A test holds the page equal.

python -m benchmarks.speed.page
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.reliability.page import table
from benchmarks.speed.learning import LOSS, Pair
from benchmarks.speed.sides import ROOT

RESULTS = ROOT / "benchmarks" / "results"
HEAD = ["", "tokens/s", "gptmill is", "MFU", "peak memory", "first step after"]


def on_file(name: str, device: str = "cpu") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}_{device}.json").read_text())
    return found


def tables() -> list[str]:
    """Markdown, in the order of the page."""
    race, found = on_file("speed"), on_file("switches")
    return [*(f"{title(name, each)}\n\n{sides(each)}" for name, each in race["sizes"].items()),
            learning(on_file("learning")), switches(found), curve(on_file("curve"))]  # fmt: skip


def title(name: str, found: dict[str, Any]) -> str:
    size, peak = found["size"], found["matmul_peak"]
    rounds = f"medians of {found['rounds']} rounds" if found["rounds"] > 1 else "one round"
    return (
        f"**{name}**: {size['n_layer']} layers, {size['n_head']} heads, {size['n_embd']} wide, batch {size['batch_size']} x "
        f"{size['block_size']}, {size['vocab_size']:,} tokens in the vocabulary; {rounds}; fastest matrix product "
        f"{peak['bfloat16'] / 1e9:,.0f} GFLOP/s in bfloat16, {peak['float32'] / 1e9:,.0f} in float32"
    )


def sides(found: dict[str, Any]) -> str:
    ours = found["sides"]["gptmill"]["tokens_per_second"]
    rows = [HEAD]
    for side, row in found["sides"].items():
        speed = row["tokens_per_second"]
        times = f"{ours / speed:.2f}x" if side != "gptmill" else ""
        memory, first = f"{row['peak_memory'] / 2**20:,.0f} MiB", f"{row['first_step_seconds']:.1f} s"
        rows.append([side, f"{speed:,.0f}", times, f"{row['mfu']:.0%}", memory, first])
    return table(rows)


def learning(found: dict[str, Any]) -> str:
    rows = [
        [
            "seed",
            "nanoGPT",
            "its loss",
            f"gptmill at {LOSS}",
            "share",
            "its loss when nanoGPT ended",
            "at its end",
            "of all text",
        ]
    ]
    for seed, (theirs, ours) in enumerate(zip(found["nanoGPT"], found["gptmill"]), 1):
        pair = Pair.of(theirs, ours)
        assert pair.share and pair.loss_then
        rows.append([str(seed), f"{theirs['seconds']:.1f} s", f"{theirs['val_loss']:.3f}", f"{ours['reached']:.1f} s", f"1/{1 / pair.share:.1f}",
                     f"{pair.loss_then:.3f}", f"{ours['seconds']:.1f} s", f"{ours['loss_of_all_validation_text']:.3f}"])  # fmt: skip
    return table(rows)


def switches(found: dict[str, Any]) -> str:
    whole = found["switches"][""]
    rows = [["without", "tokens/s", "it is faster by", "memory"]]
    for switch, one in found["switches"].items():
        times = f"{whole['tokens_per_second'] / one['tokens_per_second']:.2f}x" if switch else ""
        name = f"`--{switch}`" if switch else "nothing: as it comes"
        rows.append([name, f"{one['tokens_per_second']:,.0f}", times, f"{one['memory'] / 2**20:,.0f} MiB"])
    return table(rows)


def curve(found: dict[str, Any]) -> str:
    rows = [["", "apart from nanoGPT's float32, mean", "most", "mean of the last 50 losses"]]
    for side, last in found["last_50_mean"].items():
        apart = [f"{found[key][side]:.1e}" if side in found[key] else "" for key in ("apart_mean", "apart_most")]
        rows.append([side, *apart, f"{last:.4f}"])
    return table(rows)


def over_nanogpt(found: dict[str, Any], size: str) -> float:
    """How many times nanoGPT's best tokens/s."""
    speeds = {side: row["tokens_per_second"] for side, row in found["sizes"][size]["sides"].items()}
    return float(speeds["gptmill"] / max(speed for side, speed in speeds.items() if side.startswith("nanoGPT")))


if __name__ == "__main__":
    print("\n\n".join(tables()))
