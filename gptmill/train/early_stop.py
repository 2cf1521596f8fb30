"""When to give up: the patience rule and the overfit rule, as a fold over the evaluations of a run.

Nothing here imports torch: whether a run is complete is asked before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gptmill.plan.types import Plan


@dataclass(frozen=True)
class EarlyStop:
    """What the rules remember; saved with every checkpoint.

    Args:
        best_loss: validation loss at the latest improvement; None before the first evaluation.
        stale: evaluations since then.
        gap: validation loss above training loss, at the latest evaluation; None before the first.
        widened: evaluations in a row at which the gap grew.
        gave_up_on: the max_iters of the run that the latest evaluation ended, 0 when it did not; a larger max_iters is
            a wish to go on, up to the next evaluation at least.
    """

    best_loss: float | None = None
    stale: int = 0
    gap: float | None = None
    widened: int = 0
    gave_up_on: int = 0


def observe(seen: EarlyStop, train_loss: float, val_loss: float, plan: Plan) -> EarlyStop:
    """Take in one evaluation.

    A loss is an improvement when it is below the best by more than early_stop_min_delta, and only an improvement moves
    the best, so small gains add up. The first evaluation sets the gap and cannot widen it.
    """
    improved = seen.best_loss is None or val_loss < seen.best_loss - plan.early_stop_min_delta
    gap = val_loss - train_loss
    widened = seen.gap is not None and gap - seen.gap > plan.early_stop_overfit_min_delta
    now = EarlyStop(
        best_loss=val_loss if improved else seen.best_loss,
        stale=0 if improved else seen.stale + 1,
        gap=gap,
        widened=seen.widened + 1 if widened else 0,
    )
    return replace(now, gave_up_on=plan.max_iters) if stop_reason(now, plan) else now


def stop_reason(seen: EarlyStop, plan: Plan) -> str | None:
    """Why the run should end here, beginning with the key of the rule; None as long as it should not."""
    if not plan.early_stopping or 0 < seen.gave_up_on < plan.max_iters:
        return None
    if seen.stale >= plan.early_stop_patience:
        n, delta = seen.stale, plan.early_stop_min_delta
        return f"early_stop_patience: no gain of more than {delta:g} in val loss in {_evaluations(n)}"
    if 0 < plan.early_stop_overfit_patience <= seen.widened:
        n, delta = seen.widened, plan.early_stop_overfit_min_delta
        return f"early_stop_overfit_patience: val loss moved away from train loss by more than {delta:g} in each of {_evaluations(n)}"
    return None


def is_complete(plan: Plan, done: Mapping[str, Any]) -> bool:
    """Whether a run that ended as its ``run_done`` record says has nothing left to do under this plan."""
    if plan.eval_only:  # a finished run can be evaluated again
        return False
    if done["iter"] >= plan.max_iters:
        return True
    if done.get("stopped") is None:
        return False
    try:
        return stop_reason(EarlyStop(**done["early_stop"]), plan) is not None
    except (KeyError, TypeError):  # a damaged line: the checkpoint knows better
        return False


def _evaluations(n: int) -> str:
    return "1 evaluation" if n == 1 else f"{n} evaluations"
