"""An update that breaks the weights: the run stops by itself, and no checkpoint on the disk holds what is not a number.

A learning rate without bounds, warmed up over a different number of steps each time and with a checkpoint after every
step, so that one comes between the broken update and the loss that shows it. Every other run saves in the background.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.guards import save_behind
from benchmarks.reliability.runs import Run, Workshop, wait

RUNS = 100
EXPONENTS = (3, 12, 21, 30, 38)  # from a model that breaks by and by to weights that overflow at once


def trial(shop: Workshop) -> dict[str, Any]:
    return diverging_runs(shop, shop.count(RUNS))


def diverging_runs(shop: Workshop, n: int, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Let ``n`` runs diverge.

    Args:
        before: what each process does first, such as to remove a guard.
    """
    stopped, poisoned = 0, 0
    for number in range(n):
        warmup, kind = divmod(number, len(EXPONENTS))
        exponent = EXPONENTS[kind]
        if exponent == 38:
            warmup = 0  # the first update is to be the one
        rate = (f"--learning_rate=1e{exponent}", f"--warmup_iters={warmup}", f"--seed={number}")
        changes = (*rate, "--min_lr=0", "--grad_clip=0", "--snapshot_interval=1")
        first = in_background(before) if number % 2 else before
        run = Run(shop.folder / f"run-{number}", shop.data, changes, first)
        stopped += wait(run.start()) == 1 and "caught before the update" in run.complaint()
        poisoned += holds_no_number(run.folder)
    print(f"  {n} diverging runs: {stopped} stopped, {poisoned} left a checkpoint with weights that are no numbers")
    return {"good": stopped == n and not poisoned, "runs": n, "stopped": stopped, "poisoned": poisoned}


def in_background(before: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        before()
        save_behind()

    return both


def holds_no_number(run_dir: Path) -> bool:
    """Whether any tensor of any checkpoint holds a NaN or an infinity."""
    import numpy as np
    from safetensors.numpy import load_file

    return any(
        not np.isfinite(tensor).all()
        for path in run_dir.glob("checkpoints/step_*/**/*.safetensors")
        for tensor in load_file(path).values()
    )
