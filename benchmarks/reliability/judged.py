"""What a disturbed run folder must still be worth, told by the commands and by the record the run kept itself."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.runs import Run, fork, wait


def verified(folder: Path, before: Callable[[], None] = lambda: None) -> dict[str, list[str]]:
    """What ``gptmill verify`` says of each checkpoint: its folder's name -> problems; of no folder, nothing.

    Args:
        before: what the process that verifies does first, such as to remove a guard.
    """
    with tempfile.TemporaryFile() as said, open(os.devnull, "w") as nowhere:

        def work() -> None:
            os.dup2(said.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            before()
            from gptmill.cli.main import main

            main(["verify", "--run", str(folder), "--json"])

        wait(fork(work))
        said.seek(0)
        rows: list[dict[str, Any]] = json.loads(said.read() or b'{"checkpoints": []}')["checkpoints"]
    return {Path(row["checkpoint"]).name: row["problems"] for row in rows}


def newest(checkpoints: dict[str, list[str]]) -> int:
    """The step of the newest one without a problem; 0 when there is none."""
    return max((int(name.removeprefix("step_")) for name, problems in checkpoints.items() if not problems), default=0)


def lost(run: Run, expected: str, committed: int | None = None) -> list[str]:
    """What a run that was cut off did not keep of its promise; nothing when it is all there.

    Every checkpoint that has its name is whole, one of them is no older than the last that was said to be saved, and
    the same command goes on from there to the undisturbed weights.

    Args:
        expected: ``weights_sha256`` of the undisturbed run.
        committed: the step that was said to be saved, where the record itself may be lost.
    """
    found: list[str] = []
    promised = max(run.committed(), committed or 0)
    checkpoints = verified(run.folder)
    for name, problems in checkpoints.items():
        found += [f"{name} is half there: {problem}" for problem in problems]
    if (step := newest(checkpoints)) < promised:
        found.append(f"step {promised} was saved, and the newest good checkpoint is {step}")
    n_starts = len(run.starts())
    try:
        result = run.complete()
    except RuntimeError as error:
        return [*found, str(error)]
    went_on = run.starts()[n_starts:]
    if went_on and went_on[0].resumed < promised:
        found.append(f"step {promised} was saved, and the run went on from {went_on[0].resumed}")
    if result["weights_sha256"] != expected:
        found.append("other weights than those of the undisturbed run")
    return found
