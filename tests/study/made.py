"""Runs of an ablation as their recorder would have written them, without training anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptmill.events import EvalDone, RunDone, RunStarted, StepDone
from gptmill.report.runlog import RunLog, read_run
from tests.report.example import write, write_json

TOKENS = 1000  # of a step
PLAN = {"flops_per_token": 10, "params": 1000, "eval_sequences": 8, "val_tokens": 81, "shape": {"block_size": 10}}


def made(
    folder: Path,
    evals: Sequence[float],
    *,
    seconds: float = 1.0,
    finished: bool = True,
    settings: dict[str, Any] | None = None,
    **plan: Any,
) -> RunLog:
    """A run of 10 steps between evaluations."""
    folder.mkdir(parents=True)
    keys = {"seed": 1, "dataset": "tiny", **(settings or {})}
    write_json(folder / "config.json", {"format": "gptmill-run", "keys": {
        key: {"value": value, "origin": "default"} for key, value in keys.items()
    }})  # fmt: skip
    write_json(folder / "plan.json", {**PLAN, **plan})
    steps = 10 * (len(evals) - 1)
    events: list[Any] = [RunStarted(0, steps, TOKENS), EvalDone(0, evals[0], evals[0], True, 0.1)]
    for n, loss in enumerate(evals[1:], 1):
        for iter in range(10 * n - 9, 10 * n + 1):
            events.append(StepDone(iter, loss=loss, lr=0.1, grad_norm=1.0, tokens=TOKENS, seconds=seconds))
        events.append(EvalDone(10 * n, loss, loss, True, 0.1))
    write(folder, *events, *([RunDone(steps, min(evals))] if finished else []))
    return read_run(folder)


def study(folder: Path, finals: dict[str, Sequence[float]], **plan: Any) -> dict[str, dict[int, RunLog]]:
    """By arm and seed: runs that end with these losses."""
    return {
        arm: {
            seed: made(folder / f"{n}-seed{seed}", [6.0, loss + 1, loss], settings={"seed": seed, "arm": arm}, **plan)
            for seed, loss in enumerate(losses)
        }
        for n, (arm, losses) in enumerate(finals.items())
    }


def plain(value: Any) -> Any:
    """As it reads back from JSON, which knows no NaN."""
    return json.loads(json.dumps(value, allow_nan=False))
