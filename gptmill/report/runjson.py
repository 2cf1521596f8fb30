"""Read a run_*.json, the one-file log that gptmill folds from metrics.jsonl and that the enhanced nanoGPT trainers wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gptmill.errors import UserError
from gptmill.plain import read_plain
from gptmill.report.folding import fold_events
from gptmill.report.loose import listing, mapping, number
from gptmill.report.runlog import RunLog

LARGEST = 2**30  # bytes; a step has about a kilobyte


def read_run_json(path: Path) -> RunLog:
    """The file as a run's log.

    Raises:
        UserError: it cannot be read, or is not such a file.
    """
    try:
        found = json.loads(read_plain(path, LARGEST))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a run folder or a run_*.json") from error
    except (ValueError, RecursionError):
        raise UserError(f"{path}: not JSON, or cut short; name a run folder or a run_*.json") from None
    if not isinstance(found, dict) or not isinstance(found.get("training_iterations"), list):
        raise UserError(f"{path}: not a training log (no list training_iterations); name a run folder or a run_*.json")
    asked = mapping(found.get("config"))
    started = mapping(found.get("startup_info"))
    log = RunLog(
        str(path),
        config={key: {"value": value, "origin": path.name} for key, value in asked.items()},
        plan={
            "params": mapping(started.get("model")).get("total_params"),
            "device_name": mapping(started.get("hardware")).get("gpu_name"),
            "architecture": next((name for name in _architectures(found["training_iterations"]) if name), None),
        },
    )
    return fold_events(log, _events(found, asked))


def _events(found: dict[str, Any], asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The file's lists as records of metrics.jsonl, in the order things happened.

    A file whose iterations begin at 0 calls that iteration i which makes update i + 1.
    """
    sizes = [number(asked.get(key)) for key in ("batch_size", "gradient_accumulation_steps", "block_size")]
    tokens = sizes[0] * sizes[1] * sizes[2]  # accumulation is summed over all devices, as in nanoGPT
    yield {"event": "run_started", "iter": 0, "max_iters": asked.get("max_iters")}
    listed, evaluated = _numbered(found["training_iterations"]), _numbered(found.get("eval_steps"))
    offset = 1 if listed and listed[0]["iter"] == 0 else 0
    steps = [
        {
            **step,
            "event": "step_done",
            "iter": step["iter"] + offset,
            "tokens": tokens,
            "tokens_per_second": mapping(step.get("mfu")).get("tokens_per_sec"),
        }
        for step in listed
    ]
    evals = [{**each, "event": "eval_done"} for each in evaluated]
    yield from sorted([*steps, *evals], key=lambda fields: fields["iter"])


def _numbered(listed: Any) -> list[dict[str, Any]]:
    return [
        entry
        for entry in listing(listed)
        if isinstance(entry, dict) and isinstance(entry.get("iter"), int) and entry["iter"] >= 0
    ]


def _architectures(steps: list[Any]) -> Iterator[str | None]:
    for step in steps:
        name = mapping(mapping(step).get("mfu")).get("architecture")
        yield name if isinstance(name, str) else None
