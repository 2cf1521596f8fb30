"""What must not reach the weights, and what is done about it: on_nonfinite and on_spike."""

from __future__ import annotations

import math

from gptmill.errors import Diverged
from gptmill.events import Alarm
from gptmill.plan.types import Plan
from gptmill.train.layers import largest, not_finite
from gptmill.train.spikes import gradient_spike, loss_spike
from gptmill.train.state import TrainState

SMALLEST_LOSS_SCALE = 2.0**-14  # a scaler this low has overflowed some 30 times in a row: the model diverged
MOST_SKIPS = 10  # steps in a row that may be kept from the weights: more is no bad batch but a bad run
MOST_ROLLBACKS = 3  # to the same place
FAR_ABOVE_CHANCE = 1.5  # GPT-2's initial weights begin at ln V + 0.02^2 n_embd / 2: 1.03 ln V at 1,600 wide


def judge(state: TrainState, plan: Plan, loss: float, grad_norm: float, rollbacks: int) -> list[Alarm]:
    """What is wrong with the update about to be taken; any action but ``warn`` keeps it from the weights.

    Args:
        rollbacks: how often the run went back to where it would go back to now.
    """
    step = state.iter + 1
    sequences = (state.sequences, state.sequences + plan.effective_batch_size - 1)
    batch = f"training sequences {sequences[0]} to {sequences[1]}"
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        if state.scaler:  # float16 overflows now and then: the scaler skips the step and lowers its scale
            return []
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {grad_norm} (loss {loss:.4f})"
        layer, where = not_finite(state.model)
        action, end = _settle(plan.on_nonfinite, state, rollbacks)
        if action == "skip" and "weights of" in where:
            action, end = "stop", "; skipping a batch heals no weights"
        if action == "stop" and "weights of" in where:
            end += "; go on from the newest checkpoint with --resume, which --on_nonfinite=rollback does by itself"
        elif action == "stop":
            end += (
                f"; no checkpoint holds it: lower learning_rate={plan.learning_rate:g}, "
                f"lengthen warmup_iters={plan.warmup_iters}, or check grad_clip={plan.grad_clip:g}"
            )
        says = f"{what}, caught before the update ({batch}); {where}{end}"
        return [Alarm(step, "nonfinite", says, layer, sequences, action)]

    alarms = []
    chance = math.log(plan.shape.vocab_size)
    if state.iter == 0 and loss > FAR_ABOVE_CHANCE * chance:
        says = f"loss {loss:.2f}, where guessing costs {chance:.2f}: the initial weights are far too large"
        alarms.append(Alarm(step, "exploding_init", says, largest(state.model), sequences))
    for kind, spike in (
        ("loss_spike", loss_spike(loss, state.recent.losses)),
        ("gradient_spike", gradient_spike(grad_norm, state.recent.grad_norms)),
    ):
        if spike:
            action, end = _settle(plan.on_spike, state, rollbacks)
            if action == plan.on_spike == "stop":
                end = "; --resume --on_spike=skip goes on past the batch"
            layer = largest(state.model)
            says = f"{spike} ({batch}; largest gradient in {layer}){end}"
            alarms.append(Alarm(step, kind, says, layer, sequences, action))
    return alarms


def _settle(wish: str, state: TrainState, rollbacks: int) -> tuple[str, str]:
    """What is done, and why it is not what was wished: what does not help again and again ends the run."""
    if wish == "skip" and state.recent.skipped >= MOST_SKIPS:
        return "stop", f"; the {MOST_SKIPS} batches before it were skipped too"
    if wish == "rollback" and rollbacks >= MOST_ROLLBACKS:
        return "stop", f"; the run went back {rollbacks} times to the same place"
    return wish, ""


def check_val_loss(val_loss: float, state: TrainState) -> None:
    """Raise when the model no longer computes numbers: nothing learned after this point is worth keeping."""
    if not math.isfinite(val_loss):
        raise Diverged(
            f"step {state.iter}: validation loss is {val_loss}: the model diverged; lower learning_rate, "
            "and go on from an earlier checkpoint or start again"
        )


def check_scale(scale: float, state: TrainState) -> None:
    """Raise when float16 loss scaling has run out of room."""
    if scale < SMALLEST_LOSS_SCALE:
        raise Diverged(
            f"step {state.iter + 1}: gradients overflow float16 at every loss scale; "
            "use --dtype=bfloat16 or --dtype=float32, or lower learning_rate"
        )
