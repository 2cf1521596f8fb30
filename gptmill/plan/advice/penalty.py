"""Advice on the output penalty."""

from __future__ import annotations

from gptmill.plan.advice.situation import ADVICE, Situation, default, note, warning
from gptmill.plan.types import Advice


@ADVICE.register("penalty_without_a_kind")
def penalty_without_a_kind(run: Situation) -> Advice | None:
    config = run.config
    if config.penalty_type != "none" or config.penalty_weight == 0:
        return None
    says = f"{config.penalty_weight:g} is not used: penalty_type=none"
    return warning("penalty_weight", says, "the loss is cross-entropy alone", "penalty_type=non_max_sum")


@ADVICE.register("penalty_without_a_weight")
def penalty_without_a_weight(run: Situation) -> Advice | None:
    """A sweep over weights may well begin at 0."""
    config = run.config
    if config.penalty_type == "none" or config.penalty_weight > 0:
        return None
    says = f"{config.penalty_type} has penalty_weight=0"
    return note("penalty_type", says, "the loss is cross-entropy alone", "penalty_weight=0.01")


@ADVICE.register("top_k_without_its_penalty")
def top_k_without_its_penalty(run: Situation) -> Advice | None:
    config = run.config
    if config.penalty_type == "top_k_mass" or config.penalty_top_k == default("penalty_top_k"):
        return None
    says = f"{config.penalty_top_k} is not used: penalty_type={config.penalty_type}"
    return note(
        "penalty_top_k", says, "top_k_mass alone has a k; samples have generate_top_k", "penalty_type=top_k_mass"
    )
