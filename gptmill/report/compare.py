"""Runs beside each other: ranked by their best validation loss, and their losses where they had spent the same."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import mean
from typing import Any

from gptmill.report.loose import mapping
from gptmill.report.run_page import peak_gb
from gptmill.report.runlog import RunLog, damage
from gptmill.report.verdict import judge

EQUAL = ("tokens", "flops", "time")  # time is training time [s]
OWN_NUMBERS = ("beta1", "beta2", "weight_decay", "amsgrad")  # settled ones, which a plan has and no config key shows
NAMES = {"out_dir", "wandb_run_name"}  # keys that only say what a run is called


def compare(logs: list[RunLog]) -> dict[str, Any]:
    """What ``gptmill compare --json`` prints; losses in nats/token, seconds, GB, FLOP; unknown is None.

    Args:
        logs: at least one; their names differ.
    """
    runs = sorted(map(facts, logs), key=lambda run: (run["best_val_loss"] is None, run["best_val_loss"] or 0.0))
    why_not = incomparable(logs)
    known = [] if why_not else [run["best_val_loss"] for run in runs if run["best_val_loss"] is not None]
    worst = max(known, default=None)
    for rank, run in enumerate(runs, 1):
        best = run["best_val_loss"]
        run["rank"] = rank if best is not None else None
        run["percent_below_worst"] = 100 * (worst - best) / worst if best is not None and worst else None
    return {
        "runs": runs,
        "equal": {axis: at_equal(logs, axis) for axis in EQUAL},
        "differences": differences(logs),
        "presets": by_preset(logs),
        "comparable": not why_not,
        "warnings": why_not
        + [f"{log.name}: {says}" for log in logs if (says := damage(log))]
        + list(dict.fromkeys(unlike_their_base(logs).values())),
    }


def facts(log: RunLog) -> dict[str, Any]:
    """One run in numbers."""
    axes, verdict = log.axes(), judge(log)
    iters, losses = log.eval_curve()
    best = log.best_val_loss
    totals = {axis: float(axes[axis][-1]) if axis in axes else None for axis in EQUAL}
    return {
        "run": log.name,
        "architecture": log.plan.get("architecture"),
        "params": log.plan.get("params"),
        "best_val_loss": best,
        "best_iter": int(iters[losses.index(best)]) if best in losses else None,
        "perplexity": math.exp(best) if best is not None and best < 700 else None,
        "iters": log.steps.last_iter,
        "tokens": totals["tokens"],
        "flops": totals["flops"],
        "seconds": totals["time"],
        "tokens_per_second": log.steps.median_speed(),
        "mfu": log.steps.median_mfu(),
        "peak_memory_gb": peak_gb(log),
        "verdict": {"word": verdict.word, "because": verdict.because},
    }


def at_equal(logs: list[RunLog], axis: str) -> dict[str, Any]:
    """Validation losses where every run had spent the same: as much as the run that spent least until its last evaluation.

    Between two evaluations the loss is interpolated; nothing is guessed outside of them.

    Returns:
        {at, val_loss: {run: loss or None}, why: {run: reason for None}}
    """
    curves = {log.name: log.eval_curve(axis) for log in logs}
    why = {}
    for log in logs:
        x, _ = curves[log.name]
        if axis not in log.axes():
            why[log.name] = f"its log does not tell {'FLOP per token' if axis == 'flops' else axis}"
        elif not x or x[-1] <= 0:
            why[log.name] = "no evaluation after the start"
    able = {name: curve for name, curve in curves.items() if name not in why}
    at = min((x[-1] for x, _ in able.values()), default=None)
    losses: dict[str, float | None] = dict.fromkeys(curves)
    for name, (x, loss) in able.items():
        assert at is not None
        if x[0] > at:
            why[name] = "its first evaluation came later"
        else:
            losses[name] = interpolate(at, x, loss)
    return {"at": at, "val_loss": losses, "why": why}


def interpolate(at: float, x: list[float], y: list[float]) -> float:
    """The straight line between the two points around ``at``, which lies within x."""
    import numpy as np

    return float(np.interp(at, x, y))


def differences(logs: list[RunLog]) -> dict[str, dict[str, Any]]:
    """{key: {run: value}} of every config key that two runs set differently; a log without the key has no entry."""
    keys = sorted({key for log in logs for key in log.config} - NAMES)
    rows = {key: {log.name: log.config[key].get("value") for log in logs if key in log.config} for key in keys}
    return {key: row for key, row in rows.items() if any(value != next(iter(row.values())) for value in row.values())}


def incomparable(logs: list[RunLog]) -> list[str]:
    """Why the losses say nothing beside each other; nothing where they do, as far as the logs tell."""
    datasets = sorted({str(log.config["dataset"].get("value")) for log in logs if "dataset" in log.config})
    sizes = sorted({size for log in logs if (size := _vocab_size(log)) is not None})
    tokenizers = {log.tokenizer for log in logs if log.tokenizer is not None}
    lengths = sorted({n for log in logs if isinstance(n := log.plan.get("val_tokens"), int)})
    found = []
    if len(datasets) > 1:
        found.append(f"different datasets ({', '.join(datasets)}): these losses are of different text")
    if len(sizes) > 1 or len(tokenizers) > 1:
        which = f"vocabularies ({', '.join(map(str, sizes))} tokens)" if len(sizes) > 1 else "tokenizers"
        found.append(
            f"different {which}: a token is not the same piece of text, so loss per token cannot be compared; bits per "
            "byte of one text could"
        )
    if not found and len(lengths) > 1:
        found.append(f"different validation texts ({', '.join(f'{n:,}' for n in lengths)} tokens) under one name")
    return found


def unlike_their_base(logs: list[RunLog]) -> dict[str, str]:
    """By run, how an optimizer that is another one with something added differs from that one beyond what is added."""
    found = {}
    for log in logs:
        name, base = log.plan.get("optimizer"), log.plan.get("base_optimizer")
        other = next((each.plan for each in logs if name != base and each.plan.get("optimizer") == base), {})
        pairs = {key: (log.plan.get(key), other.get(key)) for key in OWN_NUMBERS}
        unlike = {key: pair for key, pair in pairs.items() if None not in pair and pair[0] != pair[1]}
        if unlike:
            differs = ", ".join(f"{key} {own} in place of {theirs}" for key, (own, theirs) in unlike.items())
            alike = " ".join(f"--{name}_{key}={theirs}" for key, (_, theirs) in unlike.items())
            found[log.name] = f"{name} is {base} with other numbers too ({differs}); {alike} would make them comparable"
    return found


def _vocab_size(log: RunLog) -> int | None:
    size = mapping(log.plan.get("shape")).get("vocab_size", log.config.get("vocab_size", {}).get("value"))
    return size if isinstance(size, int) else None


def by_preset(logs: list[RunLog]) -> dict[str, dict[str, Any]]:
    """{preset: {runs, best_val_loss: their mean}} of the runs that have one."""
    losses: dict[str, list[float]] = defaultdict(list)
    for log in logs:
        preset = (log.config.get("preset") or log.config.get("arch_preset") or {}).get("value")
        if preset and log.best_val_loss is not None:
            losses[str(preset)].append(log.best_val_loss)
    return {preset: {"runs": len(found), "best_val_loss": mean(found)} for preset, found in losses.items()}
