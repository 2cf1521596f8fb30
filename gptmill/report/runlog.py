"""Read what a run wrote about itself, finished or not, damaged lines included."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill.report.columns import Looks, Steps
from gptmill.report.loose import listing, mapping, number
from gptmill.track.describe import CONFIG
from gptmill.track.jsonl import METRICS, parse_line
from gptmill.track.summary import LARGEST_GAP
from gptmill.track.walltime import STEP, WallTime

if TYPE_CHECKING:
    import numpy as np

BATCH = 100  # steps that are taken together: many share the cost, and few stay in the processor's cache


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
        wall: where the hours went; ``redone`` seconds of its steps had to be done again.
        lowest: validation loss by iter; of a step that was evaluated again, under other settings, the lowest.
        stopped: why the run ended before max_iters, or None.
        unreadable: lines of the log that were damaged; nothing of them is here.
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
    redone: float = 0.0
    processes: int = 0
    mfu: dict[str, Any] = field(default_factory=dict)  # of the last step that has one: device, precision, peak
    lowest: dict[int, float] = field(default_factory=dict)
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
        file = open(metrics, "rb")  # noqa: SIM115  (the generator closes it)
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if (fields := parse_line(line)) is not None:
                yield fields
            else:
                log.unreadable += line.endswith(b"\n")


def fold_events(log: RunLog, events: Iterable[dict[str, Any]]) -> RunLog:
    """Add records to the log, in the order written."""
    for batch in in_batches(events):
        fields, iter = batch[0], batch[0]["iter"]
        log.wall.add(fields)
        if fields["event"] == "run_started":
            log.processes += 1
            log.stopped = None
            asked = number(fields.get("max_iters"))
            log.max_iters = int(asked) if math.isfinite(asked) else None
            log.redone += log.steps.start_process(iter)
            _forget_after(log, iter)
            log.summary = None
        elif fields["event"] == "step_done":
            _add_steps(log, batch)
        elif fields["event"] == "eval_done":
            log.evals[iter] = fields
            log.lowest[iter] = min(number(fields.get("val_loss")), log.lowest.get(iter, math.inf))
        elif fields["event"] == "checkpoint_saved":
            log.checkpoints.append(fields)
        elif fields["event"] == "alarm":
            log.alarms.append(fields)
        elif fields["event"] == "samples" and isinstance(fields.get("samples"), list):
            log.samples.append(fields)
        elif fields["event"] == "notice":
            log.notices.append(str(fields.get("says", "")))
        elif fields["event"] == "run_done":
            log.summary, log.stopped = fields.get("summary"), fields.get("stopped")
    return log


def in_batches(events: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Records one by one, but steps that follow each other as lists."""
    batch: list[dict[str, Any]] = []
    for fields in events:
        if batch:
            gap = fields["iter"] - batch[-1]["iter"]
            if fields["event"] == "step_done" and 0 < gap <= LARGEST_GAP and len(batch) < BATCH:
                batch.append(fields)
                continue
            yield batch
            batch = []
        if fields["event"] == "step_done":
            batch = [fields]
        else:
            yield [fields]
    if batch:
        yield batch


def _add_steps(log: RunLog, batch: list[dict[str, Any]]) -> None:
    """Take steps by ascending iter; their first is in the wall time already."""
    iter = batch[0]["iter"]
    if iter - log.steps.last_iter > LARGEST_GAP:
        log.unreadable += len(batch)
        return
    if iter <= log.steps.last_iter:  # rolled back: the alarms that say why stay
        log.evals = {i: found for i, found in log.evals.items() if i < iter}
        log.lowest = {i: found for i, found in log.lowest.items() if i < iter}
    log.redone += log.steps.extend(batch)
    _spend(log, batch[1:])
    log.mfu = next((fields["mfu"] for fields in reversed(batch) if isinstance(fields.get("mfu"), dict)), log.mfu)
    for fields in batch:
        gradients, weights = fields.get("gradients"), fields.get("weights")
        if isinstance(gradients, dict) and isinstance(gradients.get("layers"), dict):
            log.gradients.add(fields["iter"], gradients["layers"])
        if isinstance(weights, dict) and isinstance(weights.get("layers"), dict):
            layers = {name: look for name, look in weights["layers"].items() if isinstance(look, dict)}
            log.update_ratios.add(fields["iter"], {name: look.get("update_ratio") for name, look in layers.items()})
            log.frozen = [str(name) for name in listing(weights.get("frozen"))]


def _spend(log: RunLog, steps: list[dict[str, Any]]) -> None:
    """Add the newest steps to the wall time: as one that took as long, where the clock was not set back between them."""
    stamps = [fields.get("time") for fields in steps]
    ours = all(type(stamp) is str and stamp[23:] == "+00:00" for stamp in stamps)
    if not steps or not ours or stamps != sorted(stamps):  # type: ignore[type-var]
        for fields in steps:
            log.wall.add(fields)
        return
    spent = {name: sum(ms for ms in log.steps.latest(f"{name}_ms", len(steps)) if 0 <= ms < math.inf) for name in STEP}
    log.wall.add({"event": "step_done", "time": stamps[-1], "times_ms": spent})


def _forget_after(log: RunLog, iter: int) -> None:
    log.evals = {i: found for i, found in log.evals.items() if i <= iter}
    log.lowest = {i: found for i, found in log.lowest.items() if i <= iter}
    log.alarms = [found for found in log.alarms if found["iter"] <= iter]
    log.samples = [found for found in log.samples if found["iter"] <= iter]
    log.gradients.forget_after(iter)
    log.update_ratios.forget_after(iter)


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
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return mapping(found)
