"""2 and 4 processes under every strategy beside one process: losses, weights, and what each process holds.

The run of tests/parallel/shares.py: 20 steps in float32, with dropout, an effective batch that does not split evenly, checkpoints
written by all processes and read back. Losses and weights must be within 1e-5 of one process's, and the bytes of weights and
moments within 3% of the plan's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.reliability.runs import ROOT, Workshop
from gptmill.cli.parts import new_state
from gptmill.parallel.launch import Place
from gptmill.plan.memory import memory_of
from gptmill.train.capture import capture
from gptmill.train.loading import load
from tests.parallel import shares

STRATEGIES = ("ddp", "zero1", "fsdp")
CLOSE, PLANNED = 1e-5, 0.03


def weights(folder: Path) -> dict[str, Any]:
    state = new_state(shares.plan_of("none", 1))
    load(folder / "checkpoints" / f"step_{shares.STEPS:08}", state)
    return capture(state).weights


def together(folder: Path, n: int) -> list[dict[str, Any]]:
    """What each of n processes tells of each strategy, and of more."""
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    command = [torchrun, "--standalone", f"--nproc_per_node={n}", "-m", "tests.parallel.shares", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def judged(strategy: str, told: list[dict[str, Any]], alone: dict[str, Any], folder: Path, one: Path) -> dict[str, Any]:
    mine, other = weights(folder / strategy), weights(one)
    memory = memory_of(shares.plan_of(strategy, len(told)))
    planned, measured = memory.weights + memory.optimizer, sum(each[strategy]["bytes"] for each in told) / len(told)
    row = {
        "strategy": strategy,
        "processes": len(told),
        "largest_loss_difference": max(
            abs(a - b) for each in told for a, b in zip(each[strategy]["losses"], alone["losses"])
        ),
        "largest_weight_difference": max((mine[name] - other[name]).abs().max().item() for name in other),
        "read_back_equal": all(each[strategy]["same"] for each in told),
        "bytes_planned": planned,
        "bytes_measured": measured,
    }
    row["passed"] = bool(
        row["largest_loss_difference"] <= CLOSE
        and row["largest_weight_difference"] <= CLOSE
        and row["read_back_equal"]
        and abs(measured / planned - 1) <= PLANNED
    )
    return row


def trial(shop: Workshop) -> dict[str, Any]:
    one = shop.folder / "one"
    alone = shares.trained(shares.plan_of("none", 1), Place(), one)
    rows = []
    for n in (2, 4):
        told = together(shop.folder / str(n), n)
        rows += [judged(strategy, told, alone, shop.folder / str(n), one) for strategy in STRATEGIES]
    for row in rows:
        print(
            f"  {row['strategy']:6} {row['processes']} processes: loss within {row['largest_loss_difference']:.1e}, weights within "
            f"{row['largest_weight_difference']:.1e}, {row['bytes_measured']:,.0f} bytes each of {row['bytes_planned']:,} planned"
            + ("" if row["passed"] else "  FAILED"),
            flush=True,
        )
    return {"good": all(row["passed"] for row in rows), "rows": rows}
