"""An event as one line of metrics.jsonl, and back to what it means for the run as a whole."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from gptmill.events import CheckpointDue, EvalDone, Event, StepDone

LOOKS = (
    "mfu",
    "loss_variance",
    "memory",
    "gradients",
    "weights",
    "sparsity",
    "pruning",
)  # parts of a step's record that not every step has

PARTS = ("ce_loss", "penalty", "avg_max_prob")  # of the loss, where there is a penalty


def event_name(event: Event) -> str:
    """StepDone -> 'step_done'."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()


def record(event: Event) -> dict[str, Any] | None:
    """The event's fields, ready for JSON; None for CheckpointDue, a request whose outcome is another event."""
    if isinstance(event, CheckpointDue):
        return None
    if isinstance(event, StepDone):
        fields: dict[str, Any] = {
            "iter": event.iter,
            "loss": event.loss,
            "lr": event.lr,
            "grad_norm": event.grad_norm,
            "tokens": event.tokens,
            "tokens_per_second": event.tokens / event.seconds if event.seconds > 0 else None,
            "time_ms": event.seconds * 1e3,
            "skipped": event.skipped,
            "times_ms": {name: seconds * 1e3 for name, seconds in event.times.items()},
            **{name: value for name in (*PARTS, *LOOKS) if (value := getattr(event, name)) is not None},
        }
        if event.ce_loss is not None:
            fields["perplexity"] = perplexity(event.ce_loss)
    else:
        fields = dataclasses.asdict(event)
    if isinstance(event, EvalDone):
        fields = {name: value for name, value in fields.items() if name not in PARTS or value is not None}
        fields["perplexity"] = perplexity(event.val_loss)
    return {"event": event_name(event), **without_nan(fields)}


def perplexity(ce_loss: float) -> float | None:
    return math.exp(ce_loss) if ce_loss < 700 else None


def is_met(fields: dict[str, Any]) -> bool:
    """Whether target_sparsity is met with this step: what is best is told anew from here on (train/update.py)."""
    pruning = fields.get("pruning")
    return isinstance(pruning, dict) and pruning.get("complete") is True


def without_nan(value: Any) -> Any:
    """The value with every NaN and infinity, which JSON cannot say, turned into None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value
