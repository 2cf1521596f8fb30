"""A run's records, in the order written, become its log; steps are taken many at a time, which is most of a long log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gptmill.report.loose import listing, mapping, number
from gptmill.track.records import is_met
from gptmill.track.summary import LARGEST_GAP
from gptmill.track.walltime import STEP

if TYPE_CHECKING:
    from gptmill.report.runlog import RunLog

BATCH = 100  # steps that are taken together: many share the cost, and few stay in the processor's cache


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
        elif fields["event"] == "plan_changed":
            changes = mapping(fields.get("changes")).items()
            says = ", ".join(f"{name} {' -> '.join(map(str, listing(both)))}" for name, both in changes)
            log.notices.append(f"step {iter}: {says}")
        elif fields["event"] == "interrupted":
            log.notices.append(f"step {iter}: {fields.get('says', '')}: {fields.get('action', '')}")
        elif fields["event"] == "ranks_timed":
            log.ranks.add(fields)
        elif fields["event"] == "first_steps":
            log.first_steps = fields
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
        if is_met(fields):
            log.lowest.clear()
        log.pruning = mapping(fields.get("pruning")) or log.pruning
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
