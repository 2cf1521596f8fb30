"""One plain sentence about a run, with the numbers it rests on. Losses are in nats/token."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from gptmill.report.loose import number
from gptmill.report.runlog import RunLog

FEWEST_EVALS = 4  # that at the start included: fewer points show no direction
GAP = 1.0  # validation above training by more than this: what is learned is the training text itself
GAIN = 0.01  # less than this in the last third of the evaluations is standing still


@dataclass(frozen=True)
class Verdict:
    """Args: word: learning, plateau, overfitting, diverged or too short to tell."""

    word: str
    because: str


def judge(log: RunLog) -> Verdict:
    """What the losses say, from the worst to the best that can be said."""
    iters, val = log.eval_curve()
    train = [number(fields.get("train_loss")) for _, fields in sorted(log.evals.items())]
    if found := _diverged(log, val):
        return Verdict("diverged", found)
    if len(val) < FEWEST_EVALS:
        n = f"{len(val)} evaluation{'' if len(val) == 1 else 's'}"
        return Verdict("too short to tell", f"{n} in {log.steps.last_iter:,} steps; {FEWEST_EVALS} show a direction.")
    best = min(val)
    best_at = f"step {iters[val.index(best)]:,.0f}"
    gap = val[-1] - train[-1]
    if gap > GAP:
        losses = f"{val[-1]:.2f} on validation text against {train[-1]:.2f} on training text, {gap:.2f} nats apart"
        return Verdict("overfitting", f"{losses}; the best validation loss was {best:.3f} at {best_at}.")
    late = len(val) - len(val) // 3
    gain = min(val[:late]) - min(val[late:])
    span = f"from step {iters[late - 1]:,.0f} to {iters[-1]:,.0f}"
    if gain < GAIN:
        moved = f"gained {gain:.3f}" if gain > 0 else "gained nothing"
        return Verdict("plateau", f"validation loss {moved} nats {span}; the best was {best:.3f} at {best_at}.")
    fell = f"validation loss fell from {val[0]:.2f} to {best:.3f}, by {gain:.3f} {span}"
    apart = f", {abs(gap):.2f} {'above' if gap >= 0 else 'below'} training loss" if math.isfinite(gap) else ""
    return Verdict("learning", f"{fell}{apart}.")


def _diverged(log: RunLog, val: list[float]) -> str | None:
    """Why training has gone wrong: the last loss is no number, or the last hundredth of the run is above its start."""
    loss = log.steps["loss"]
    if len(loss) and not math.isfinite(loss[-1]):
        return f"the loss of step {log.steps.last_iter:,} is not a number."
    tail = max(1, len(loss) // 100)
    known = [float(x) for x in loss if math.isfinite(x)]
    if len(known) >= 10:
        start, end = known[0], median(known[-tail:])
        if end > start and min(known) < start:
            return f"training loss is {end:.2f}, above the {start:.2f} it began with; it had been {min(known):.2f}."
    if len(val) > 1 and val[-1] > val[0]:
        return f"validation loss is {val[-1]:.2f}, above the {val[0]:.2f} it began with."
    return None
