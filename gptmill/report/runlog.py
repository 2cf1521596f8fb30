"""Read what a run wrote about itself, finished or not, damaged lines included."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gptmill.track.jsonl import read_events


@dataclass
class RunLog:
    """metrics.jsonl, folded: where a step was taken twice (a resumed run), the later record counts.

    Args:
        max_iters: what the last process was asked for; None when nothing was recorded.
        steps: step_done records by iter, in order.
        evals: eval_done records by iter, in order.
        checkpoints: checkpoint_saved records, in the order saved.
        notices: sentences, in the order said.
        summary: what ``train --json`` printed when the run was completed, else None.
    """

    run_dir: Path
    max_iters: int | None = None
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    evals: dict[int, dict[str, Any]] = field(default_factory=dict)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    summary: dict[str, Any] | None = None


def read_run(run_dir: Path) -> RunLog:
    """Fold a run folder's metrics.jsonl; an empty log when there is none yet."""
    log = RunLog(run_dir)
    for fields in read_events(run_dir):
        iter = fields["iter"]
        match fields["event"]:
            case "run_started":
                log.max_iters = fields.get("max_iters")
                log.steps = {i: step for i, step in log.steps.items() if i <= iter}
                log.evals = {i: found for i, found in log.evals.items() if i <= iter}
                log.summary = None
            case "step_done":
                log.steps[iter] = fields
            case "eval_done":
                log.evals[iter] = fields
            case "checkpoint_saved":
                log.checkpoints.append(fields)
            case "notice":
                log.notices.append(str(fields.get("says", "")))
            case "run_done":
                log.summary = fields.get("summary")
    return log
