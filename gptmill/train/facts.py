"""What a run is, recorded with every checkpoint, and what a difference means when it continues."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

import gptmill
from gptmill.errors import CheckpointError, UserError
from gptmill.plan.types import DataFacts, Plan
from gptmill.train.changes import decides_bits
from gptmill.train.manifest import newest_good, read_manifest

SET_BACK = "set them back, or start a new run in another out_dir"


def run_facts(plan: Plan, data: DataFacts) -> dict[str, Any]:
    """Collect the facts to be saved; call it after threads and device are set.

    Returns:
        ``must_match``: keys that make a checkpoint unusable for another run.
        ``bits``: keys that, when changed, keep the run valid but not bit for bit the same.
    """
    shape = asdict(plan.shape)
    return {
        "must_match": {
            **{key: value for key, value in shape.items() if key not in decides_bits(shape)},
            "optimizer": plan.optimizer,
            "base_optimizer": plan.base_optimizer,
            "amsgrad": plan.amsgrad,
            "data_sha256": data.sha256,
            "tokenizer": data.tokenizer,
        },
        "bits": {
            **{key: shape[key] for key in decides_bits(shape)},
            **{key: getattr(plan, key) for key in decides_bits(field.name for field in fields(Plan))},
            "gptmill": gptmill.__version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
    }


def check_same_run(run_dir: Path, plan: Plan, data: DataFacts) -> list[str]:
    """Hold a completed run against the plan, so that its result is never printed for another model.

    Returns:
        what is wrong with its newest checkpoints, one sentence each.

    Raises:
        CheckpointError: none of its checkpoints is good: the result stands for weights that are no more.
        UserError: it is of another model, dataset or optimizer; one line names the keys.
    """
    folder, problems = newest_good(run_dir)
    if folder is None:
        raise CheckpointError(
            *problems, f"{run_dir}: completed, but it has no usable checkpoint; --overwrite trains it again"
        )
    compare(read_manifest(folder).facts, run_facts(plan, data), folder)
    return problems


def compare(saved: dict[str, Any], mine: dict[str, Any], path: Path, otherwise: str = SET_BACK) -> list[str]:
    """Hold a checkpoint's facts against this run's; returns at most one sentence, on what breaks bit-equality.

    Raises:
        CheckpointError: it does not say of which.
        UserError: the checkpoint is of another model, dataset or optimizer.
    """
    if not all(isinstance(saved.get(kind, {}), dict) for kind in ("must_match", "bits")):
        raise CheckpointError(f"{path}: its manifest does not say what run saved it")
    # None is "not known" (a bare .bin has no hash): it proves nothing, so it refuses nothing.
    other = [
        change
        for change, before, now in _changes(saved.get("must_match", {}), mine.get("must_match", {}))
        if before is not None and now is not None
    ]
    if other:
        raise UserError(f"{path}: saved by a different run: {', '.join(other)}; {otherwise}")
    bits = saved.get("bits", {})
    known = {key: value for key, value in mine.get("bits", {}).items() if key in bits}  # not one that is newer than it
    moved = [change for change, _, _ in _changes(bits, known)]
    return [f"not bit for bit: {', '.join(moved)}"] if moved else []


def _changes(saved: dict[str, Any], mine: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Each key that differs: ('threads 2 -> 1', 2, 1)."""
    return [
        (f"{key} {_short(saved.get(key))} -> {_short(mine.get(key))}", saved.get(key), mine.get(key))
        for key in {**saved, **mine}
        if saved.get(key) != mine.get(key)
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "..."
