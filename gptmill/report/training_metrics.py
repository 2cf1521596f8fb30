"""A run as the JSON object that test matrices have for each: lists over its steps and evaluations, and totals."""

from __future__ import annotations

import math
from typing import Any

from gptmill.report.loose import mapping, number
from gptmill.report.runlog import RunLog


def training_metrics(log: RunLog) -> dict[str, Any]:
    """Losses are in nats/token, times in seconds since the first step; ``iterations`` are those of ``train_losses``."""
    values = {key: entry.get("value") for key, entry in log.config.items()}
    iters, val = log.eval_curve()
    steps = log.steps
    sparsities = steps["sparsity"].tolist()
    seconds = log.axes().get("time")
    return {
        "config": values,
        "model_params": log.plan.get("params"),
        "iterations": steps.iters.tolist(),
        "train_losses": known(steps["loss"].tolist()),
        "learning_rates": known(steps["lr"].tolist()),
        "sparsities": [value if math.isfinite(value) else 0.0 for value in sparsities],
        "timestamps": seconds.tolist() if seconds is not None else [],
        "val_iterations": [int(iter) for iter in iters],
        "val_losses": val,
        "final_val_loss": val[-1] if val else None,
        "best_val_loss": log.best_val_loss,
        "total_time": finite(mapping(log.summary).get("wall_seconds")),
        "peak_memory": finite(mapping(log.summary).get("peak_memory")),
    }


def known(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def finite(value: object) -> float | None:
    found = number(value)
    return found if math.isfinite(found) else None
