"""What a disturbed run folder must still be worth, told by the commands and by the record the run kept itself."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from benchmarks.reliability.runs import Run


def verified(folder: Path) -> dict[str, list[str]]:
    """What ``gptmill verify`` says of each checkpoint: its folder's name -> problems; of no folder, nothing."""
    from gptmill.cli.main import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        main(["verify", "--run", str(folder), "--json"])
    rows: list[dict[str, Any]] = json.loads(said.getvalue() or '{"checkpoints": []}')["checkpoints"]
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
