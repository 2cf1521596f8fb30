"""log_style=line: two lines before the first step, and a line for each step that is logged."""

from __future__ import annotations

from typing import Any

from gptmill import units
from gptmill.events import StepDone
from gptmill.plan.batch import sizes
from gptmill.plan.types import Plan


class LineStyle:
    """The lines of one run."""

    scrolls = False

    def __init__(self, plan: Plan, about: dict[str, Any]) -> None:
        self._plan = plan

    def opening(self, fancy: bool) -> list[str]:
        return [device_line(self._plan), batch_line(self._plan)]

    def step(self, event: StepDone, eta: str | None, fancy: bool) -> list[str]:
        """nanoGPT's line, with speed and rate: 'iter 100: loss 4.2302, time 135.3 ms, 22.7k tok/s, lr 6.0e-04, ETA 3 min'."""
        facts = [
            f"iter {event.iter}: loss {event.loss:.4f}{parts_words(event)}",
            f"time {event.seconds * 1e3:.1f} ms",
            f"{units.count(event.tokens / max(event.seconds, 1e-9))} tok/s",
            *mfu_words(event, "mfu"),
            f"lr {event.lr:.1e}",
            *sparsity_words(event, "sparsity"),
            *(["skipped"] if event.skipped else []),
            *([] if eta is None else [f"ETA {eta}"]),
        ]
        return [", ".join(facts)]


def device_line(plan: Plan) -> str:
    """Both styles begin with it."""
    number = f"{plan.world_size} x " if plan.world_size > 1 else ""
    more = [plan.strategy] * (plan.world_size > 1) + ["compiled"] * plan.compile
    return ", ".join([f"Using device: {number}{plan.device} ({plan.device_name})", plan.dtype, *more])


def batch_line(plan: Plan) -> str:
    """The batch that is really used, whatever was asked for."""
    parts = plan.gradient_accumulation_steps
    return (
        f"Batch: {sizes(plan)} sequence{'s' * (plan.batch_size > 1)} x {parts} micro-batch{'es' * (parts > 1)}"
        f" = {plan.effective_batch_size:,} sequences = {plan.tokens_per_iter:,} tokens a step"
    )


def mfu_words(event: StepDone, word: str) -> list[str]:
    """['mfu 31.3%'], or nothing while it is not known."""
    percent = event.mfu["mfu_percent"] if event.mfu else None
    return [] if percent is None else [f"{word} {percent:.1f}%"]


def sparsity_words(event: StepDone, word: str) -> list[str]:
    """['sparsity 43.2%'], or nothing where the run does not prune."""
    return [] if event.sparsity is None else [f"{word} {event.sparsity:.1%}"]


def parts_words(event: StepDone) -> str:
    """' (ce 4.2208, penalty 0.9431)', or nothing where the loss is cross-entropy alone."""
    return "" if event.penalty is None else f" (ce {event.ce_loss:.4f}, penalty {event.penalty:.4f})"
