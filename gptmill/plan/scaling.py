"""The peak learning rate for another batch than the one it was found with.

``learning_rate`` is then that of ``reference_batch_size`` sequences per update; with B of them the run's peak is

    linear   learning_rate x B / reference     Goyal et al. 2017, arXiv:1706.02677, for SGD
    sqrt     learning_rate x sqrt(B / reference)     Malladi et al. 2022, arXiv:2205.10287, for Adam

6e-4 found at 32 sequences is 9.6e-3 (linear) or 2.4e-3 (sqrt) at 512.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from gptmill.config.schema import Config
from gptmill.errors import ConfigError
from gptmill.plan.types import Plan

GROWTH: dict[str, Callable[[Decimal], Decimal]] = {"linear": lambda ratio: ratio, "sqrt": Decimal.sqrt}


def peak_rate(config: Config, effective_batch_size: int) -> float:
    """The peak of the run's learning rate.

    Args:
        effective_batch_size: sequences per update, over all devices and micro-steps.

    Raises:
        ConfigError: scaling is asked for, and not from which batch.
    """
    if config.lr_scaling == "none":
        return config.learning_rate
    if config.reference_batch_size is None:
        raise ConfigError(
            f"lr_scaling={config.lr_scaling}: scales from the batch that learning_rate={config.learning_rate:g} was found "
            f"with, and none is named; try reference_batch_size=N [sequences per update], or lr_scaling=none"
        )
    growth = Decimal(effective_batch_size) / config.reference_batch_size
    # as on paper: 6e-4 x 16 is 9.6e-3 to the last bit
    return float(Decimal(str(config.learning_rate)) * GROWTH[config.lr_scaling](growth))


def in_words(plan: Plan) -> str:
    """'2.4e-3 = 0.0006 x sqrt(512 / 32)', or the peak alone when nothing scales it."""
    if plan.lr_scaling == "none" or plan.reference_batch_size is None:
        return f"{plan.learning_rate:g}"
    growth = Decimal(plan.effective_batch_size) / plan.reference_batch_size
    base = plan.learning_rate / float(GROWTH[plan.lr_scaling](growth))
    ratio = f"{plan.effective_batch_size:,} / {plan.reference_batch_size:,}"
    return f"{plan.learning_rate:g} = {base:g} x " + (ratio if plan.lr_scaling == "linear" else f"sqrt({ratio})")
