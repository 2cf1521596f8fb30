"""Stops a run before a non-finite number reaches the weights."""

from __future__ import annotations

import math

from gptmill.errors import GptmillError
from gptmill.plan.types import Plan
from gptmill.train.state import TrainState

SMALLEST_LOSS_SCALE = 2.0**-14  # a scaler this low has overflowed some 30 times in a row: the model diverged


def check_finite(loss: float, grad_norm: float, state: TrainState, plan: Plan) -> None:
    """Raise if the update about to be taken would poison the weights; the newest checkpoint is from before it.

    Raises:
        GptmillError: naming the step, the sequences it read, and what to try.
    """
    if math.isfinite(loss) and math.isfinite(grad_norm):
        return
    what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {grad_norm} (loss {loss:.4f})"
    first, last = state.sequences, state.sequences + plan.effective_batch_size - 1
    raise GptmillError(
        f"step {state.iter + 1}: {what}, caught before the update (training sequences {first} to {last}); no checkpoint holds it: "
        f"lower learning_rate={plan.learning_rate:g}, lengthen warmup_iters={plan.warmup_iters}, or check grad_clip={plan.grad_clip:g}"
    )


def check_val_loss(val_loss: float, state: TrainState) -> None:
    """Raise when the model no longer computes numbers: nothing learned after this point is worth keeping."""
    if not math.isfinite(val_loss):
        raise GptmillError(
            f"step {state.iter}: validation loss is {val_loss}: the model diverged; lower learning_rate, "
            "and go on from an earlier checkpoint or start again"
        )


def check_scale(scale: float, state: TrainState) -> None:
    """Raise when float16 loss scaling has run out of room."""
    if scale < SMALLEST_LOSS_SCALE:
        raise GptmillError(
            f"step {state.iter + 1}: gradients overflow float16 at every loss scale; "
            "use --dtype=bfloat16 or --dtype=float32, or lower learning_rate"
        )
