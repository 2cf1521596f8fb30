"""Whether a number is far above its usual: a robust z-score, by medians.

A mean and a standard deviation would be moved by the very spikes that they are to find. And as a loss falls, its spread
around one median would mostly be the fall; so the usual is the median of the nearest steps, and the spread that of the
differences from one step to the next (von Neumann 1941, with a median in place of his mean square). The limits were set
on clean runs: docs/log.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

WINDOW = 128  # steps remembered; the spread is theirs
NEAR = 32  # of these, the last, whose median is the usual
ENOUGH = 64  # steps without which nothing is usual yet
LIMIT = 10.0  # robust standard deviations above the median
LOSS_MARGIN = 0.1  # ... and this share of the median, so that a loss hardly varying does not make every blip a spike
GRAD_RATIO = (
    300.0  # ... and this many times the median: single batches of healthy runs reach 70, and clipping tames them
)


@dataclass
class Recent:
    """What the guards remember of earlier steps; saved with every checkpoint, so that resuming does not blind them.

    Args:
        losses: of the last steps that were learned from [nats/token].
        grad_norms: of the same steps.
        passed: first and last training sequence of every step that on_spike or on_nonfinite kept from the weights.
        skipped: how many of these came in a row up to now.
    """

    losses: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)
    passed: list[list[int]] = field(default_factory=list)
    skipped: int = 0

    def learned(self, loss: float, grad_norm: float) -> None:
        """Take in a step that updated the weights."""
        self.losses = [*self.losses, loss][-WINDOW:]
        self.grad_norms = [*self.grad_norms, grad_norm][-WINDOW:]
        self.skipped = 0

    def passed_over(self, first: int, last: int) -> None:
        """Take in a step that did not."""
        self.passed.append([first, last])
        self.skipped += 1

    def next_sequence(self, sequence: int) -> int:
        """The training sequence to go on with, where this one may be one to pass over."""
        for first, last in self.passed:
            if first <= sequence <= last:
                sequence = last + 1
        return sequence


def loss_spike(loss: float, losses: list[float]) -> str | None:
    """What is unusual about the loss, or None."""
    usual, z = robust_z(loss, losses)
    if z < LIMIT or loss - usual < LOSS_MARGIN * usual:
        return None
    return f"loss {loss:.4f} is {z:.0f} robust deviations above {usual:.4f}, the median of {NEAR} steps"


def gradient_spike(grad_norm: float, grad_norms: list[float]) -> str | None:
    """What is unusual about the gradient norm, or None; compared by its logarithm, for it varies by factors."""
    positive = [norm for norm in grad_norms if norm > 0]
    if grad_norm <= 0 or not positive:
        return None
    usual, z = robust_z(math.log(grad_norm), [math.log(norm) for norm in positive])
    times = grad_norm / math.exp(usual)
    if z < LIMIT or times < GRAD_RATIO:
        return None
    return f"gradient norm {grad_norm:.3g} is {times:.1f} times {math.exp(usual):.3g}, the median of {NEAR} steps"


def robust_z(value: float, window: list[float]) -> tuple[float, float]:
    """What is usual, and how many robust standard deviations the value lies above it; 0 before there is enough, and below."""
    if len(window) < ENOUGH:
        return math.nan, 0.0
    usual = median(window[-NEAR:])
    if value <= usual:
        return usual, 0.0  # every step asks, and the rest is the costly part
    # of a normal distribution the std: 1.4826 median deviations; and a difference of two numbers varies sqrt(2) as much
    spread = 1.4826 * median(abs(b - a) for a, b in pairwise(window)) / math.sqrt(2)
    return usual, (value - usual) / max(spread, 1e-12)
