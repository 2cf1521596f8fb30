"""Read what a run wrote about itself, finished or not, damaged lines included."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill.plain import lines_of, open_plain, read_plain
from gptmill.report.columns import Looks, Steps
from gptmill.report.folding import fold_events
from gptmill.report.loose import mapping, number
from gptmill.track.describe import CONFIG
from gptmill.track.jsonl import METRICS, parse_line
from gptmill.track.ranks import RankTimes
from gptmill.track.walltime import WallTime

if TYPE_CHECKING:
    import numpy as np


@dataclass
class RunLog:
    """A run folder's metrics.jsonl, config.json and plan.json, folded.

    Where a step was taken twice (a resumed run, a rollback), the later record counts.

    Args:
        name: the run folder's, as it was given.
        config: {key: {value, origin}}; empty where it is missing or damaged, and so is plan.
        max_iters: what the last process was asked for; None when nothing was recorded.
        evals: eval_done records by iter, in order; so are alarms and samples, several of which may have one iter.
        tokenizer: what tells it from others; None when the data came without one.
        ranks: how several processes kept pace.
        wall: where the hours went; ``redone`` seconds of its steps had to be done again.
        lowest: validation loss by iter; of a step that was evaluated again, under other settings, the lowest; without
            those before target_sparsity was met.
        pruning: how much is pruned, of all and of each layer, where the run prunes.
        stopped: why the run ended before max_iters, or None.
        unreadable: lines of the log that were damaged; nothing of them is here.
        first_steps: what the newest process's first steps took, beside what was planned; empty before that is known.
        summary: what ``train --json`` printed when the run was completed, else None.
    """

    name: str
    config: dict[str, dict[str, Any]] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    max_iters: int | None = None
    steps: Steps = field(default_factory=Steps)
    evals: dict[int, dict[str, Any]] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    gradients: Looks = field(default_factory=Looks)
    update_ratios: Looks = field(default_factory=Looks)
    frozen: list[str] = field(default_factory=list)
    wall: WallTime = field(default_factory=WallTime)
    ranks: RankTimes = field(default_factory=RankTimes)
    redone: float = 0.0
    processes: int = 0
    mfu: dict[str, Any] = field(default_factory=dict)  # of the last step that has one: device, precision, peak
    first_steps: dict[str, Any] = field(default_factory=dict)
    lowest: dict[int, float] = field(default_factory=dict)
    pruning: dict[str, Any] = field(default_factory=dict)
    stopped: str | None = None
    unreadable: int = 0
    summary: dict[str, Any] | None = None

    @property
    def best_val_loss(self) -> float | None:
        return min((loss for loss in self.lowest.values() if math.isfinite(loss)), default=None)

    @property
    def flops_per_token(self) -> float | None:
        found = number(self.plan.get("flops_per_token") or self.mfu.get("flops_per_token"))
        return found if found > 0 else None

    def axes(self) -> dict[str, np.ndarray]:
        """How far the run is at the end of each step: steps, tokens, seconds, and flop where it is known."""
        found = {"steps": self.steps.iters.astype(float), "tokens": self.steps.tokens(), "time": self.steps.seconds()}
        if self.flops_per_token:
            found["flops"] = found["tokens"] * self.flops_per_token
        return {name: values for name, values in found.items() if len(values) and values[-1] > 0}

    def eval_curve(self, axis: str = "steps", which: str = "val_loss") -> tuple[list[float], list[float]]:
        """x and loss of every evaluation with both known, by ascending x."""
        import numpy as np

        known = {iter: number(fields.get(which)) for iter, fields in sorted(self.evals.items())}
        known = {iter: loss for iter, loss in known.items() if np.isfinite(loss)}
        if axis == "steps":
            return [float(iter) for iter in known], list(known.values())
        axes = self.axes()
        if axis not in axes:
            return [], []
        x = np.interp(list(known), np.append(0, self.steps.iters), np.append(0.0, axes[axis]))
        return x.tolist(), list(known.values())


def read_run(run_dir: Path) -> RunLog:
    """Everything a run folder tells; an empty log when there is nothing yet."""
    keys = mapping(_object(run_dir / CONFIG).get("keys"))
    config = {key: entry for key, entry in keys.items() if isinstance(entry, dict)}
    tokenizer = _tokenizer(run_dir / "tokenizer" / "tokenizer.json")
    log = RunLog(str(run_dir), config=config, plan=_object(run_dir / "plan.json"), tokenizer=tokenizer)
    return fold_events(log, _events(run_dir / METRICS, log))


def _events(metrics: Path, log: RunLog) -> Iterator[dict[str, Any]]:
    """The records of a log; counts those that are damaged. A last line without its end is about to be written."""
    try:
        file = open_plain(metrics)
    except FileNotFoundError:
        return
    with file:
        for line in lines_of(file):
            if (fields := parse_line(line)) is not None:
                yield fields
            else:
                log.unreadable += line.endswith(b"\n")


def _tokenizer(path: Path) -> str | None:
    """What a saved tokenizer.json says of the pieces, whatever it is called; None when there is none."""
    body = _object(path)
    if body.get("name") == "gpt2":  # saved with its files, or by its name alone
        return "gpt2"
    return json.dumps({key: body[key] for key in body if key != "name"}, sort_keys=True) if body else None


def damage(log: RunLog) -> str:
    """A sentence about lines that could not be read, without its end; nothing when there were none."""
    if not log.unreadable:
        return ""
    one = log.unreadable == 1
    return f"{log.unreadable:,} line{'s' * (not one)} of {METRICS} could not be read; what {'it' if one else 'they'} told is missing here"


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one when it is missing or damaged."""
    try:
        found = json.loads(read_plain(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return mapping(found)
