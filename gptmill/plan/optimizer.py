"""The update rule with all its numbers, and what it keeps for each parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gptmill.config.schema import Config
from gptmill.plan.flops import FFN_MATRICES
from gptmill.plan.types import Plan
from gptmill.shapes import ModelShape

FLOAT32 = 4  # bytes
SPAM = {  # theta, interval, warmup, clip; Huang et al. 2025, arXiv:2501.06842, and the system that adds spikes
    "paper": (5000.0, 500, 150, True),
    "spikes": (50.0, 1000, 100, False),
}


@dataclass(frozen=True)
class UpdateRule:
    """Field names equal the plan's."""

    base_optimizer: str
    amsgrad: bool
    beta1: float
    beta2: float
    weight_decay: float
    muon_learning_rate: float
    spam_theta: float
    spam_interval: int
    spam_warmup_steps: int
    spam_enable_clip: bool


def settle_optimizer(c: Config, learning_rate: float) -> UpdateRule:
    """adamwprune becomes its base, with numbers of its own; None becomes a number.

    Args:
        learning_rate: the peak, scaled with the batch.
    """
    prunes = c.optimizer == "adamwprune"
    base = c.adamwprune_base_optimizer_name if prunes else c.optimizer
    amsgrad = base == "adamwadv" or (base == "adamwspam" and c.spam_variant == "spikes")
    if prunes and c.adamwprune_amsgrad is not None:
        amsgrad = c.adamwprune_amsgrad
    theta, interval, warmup, clip = SPAM[c.spam_variant]
    grown = learning_rate / c.learning_rate if c.learning_rate else 1.0
    return UpdateRule(
        base_optimizer=base,
        amsgrad=amsgrad,
        beta1=c.adamwprune_beta1 if prunes else c.beta1,
        beta2=c.adamwprune_beta2 if prunes else c.beta2,
        weight_decay=c.adamwprune_weight_decay if prunes else c.weight_decay,
        muon_learning_rate=learning_rate if c.muon_learning_rate is None else c.muon_learning_rate * grown,
        spam_theta=theta if c.spam_theta is None else c.spam_theta,
        spam_interval=interval if c.spam_interval is None else c.spam_interval,
        spam_warmup_steps=warmup if c.spam_warmup_steps is None else c.spam_warmup_steps,
        spam_enable_clip=clip if c.spam_enable_clip is None else c.spam_enable_clip,
    )


class Moments(NamedTuple):
    """Numbers in float32 that are kept for each parameter.

    Args:
        hidden: for those of matrices in the layers that a model repeats.
        others: for embeddings, head and vectors.
    """

    hidden: int
    others: int


def moments_of(plan: Plan) -> Moments:
    """What the update rule keeps; of one of your own as much as Adam's is assumed."""
    if plan.base_optimizer == "sgd":
        return Moments(1, 1) if plan.momentum else Moments(0, 0)
    if plan.base_optimizer == "muon":
        return Moments(hidden=1, others=2)
    return Moments(3, 3) if plan.amsgrad else Moments(2, 2)


def hidden_numbers(shape: ModelShape) -> int:
    """Parameters in the matrices of all layers."""
    C, F = shape.n_embd, shape.ffn_dim
    return shape.n_layer * (C * (C + 2 * shape.kv_dim) + C * C + FFN_MATRICES.get(shape.ffn_type, 2) * F * C)


def state_bytes(plan: Plan) -> int:
    """Bytes of optimizer state, of all devices together."""
    moments, hidden = moments_of(plan), min(plan.params, hidden_numbers(plan.shape))
    numbers = moments.hidden * hidden + moments.others * (plan.params - hidden)
    return FLOAT32 * (numbers - min(moments) * plan.frozen_params)  # none of weights that stay as they are
