"""What `make bench` measured, as tables in Markdown.

python -m benchmarks.speed.page
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.reliability.page import table
from benchmarks.speed.sides import ROOT

RESULTS = ROOT / "benchmarks" / "results"
HEAD = ["", "tokens/s", "gptmill is", "MFU", "peak memory", "first step after"]


def tables(found: dict[str, Any]) -> str:
    """Markdown: a table for every size. Args: found: benchmarks/results/speed_DEVICE.json."""
    return "\n\n".join(f"{title(name, each)}\n\n{sides(each)}" for name, each in found["sizes"].items())


def title(name: str, found: dict[str, Any]) -> str:
    size, peak = found["size"], found["matmul_peak"]["bfloat16"]
    return (
        f"**{name}**: {size['n_layer']} layers, {size['n_head']} heads, {size['n_embd']} wide, batch {size['batch_size']} x "
        f"{size['block_size']}, {size['vocab_size']:,} tokens in the vocabulary; medians of {found['rounds']} rounds; measured peak "
        f"{peak / 1e9:,.0f} GFLOP/s in bfloat16"
    )


def sides(found: dict[str, Any]) -> str:
    ours = found["sides"]["gptmill"]["tokens_per_second"]
    rows = [HEAD]
    for side, row in found["sides"].items():
        speed = row["tokens_per_second"]
        times = f"{ours / speed:.2f}x" if side != "gptmill" else ""
        memory, first = f"{row['peak_memory'] / 2**30:.2f} GiB", f"{row['first_step_seconds']:.1f} s"
        rows.append([side, f"{speed:,.0f}", times, f"{row['mfu']:.0%}", memory, first])
    return table(rows)


def over_nanogpt(found: dict[str, Any], size: str) -> float:
    """How many times nanoGPT's best tokens/s."""
    speeds = {side: row["tokens_per_second"] for side, row in found["sizes"][size]["sides"].items()}
    return float(speeds["gptmill"] / max(speed for side, speed in speeds.items() if side.startswith("nanoGPT")))


if __name__ == "__main__":
    print(tables(json.loads((RESULTS / "speed_cpu.json").read_text())))
