"""How long a run is, and where its learning rate peaks and lands: epochs, tokens and steps are one number here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from gptmill.config.schema import Config
from gptmill.errors import ConfigError, DataError
from gptmill.plan.scaling import peak_rate
from gptmill.plan.shape import how_to_prepare
from gptmill.plan.types import NEW_TEXT


@dataclass(frozen=True)
class Horizon:
    """The run's length and its learning rate's landmarks, in optimizer steps."""

    max_iters: int
    schedule: str
    warmup_iters: int
    lr_decay_iters: int
    learning_rate: float
    min_lr: float
    eval_interval: int


def windows_per_epoch(n_tokens: int, block_size: int) -> int:
    """Non-overlapping training sequences in a split; the last target needs one token beyond its window."""
    return max(0, (n_tokens - 1) // block_size)


def steps_for_epochs(epochs: float, windows: int, effective_batch_size: int) -> int:
    """Optimizer steps that show every window ``epochs`` times; batches run on across the seam between epochs.

    Rounded up, except that a last step with at most 1% of a batch of unseen text is not taken: 17,234 steps for
    OpenWebText (8,823,810 windows of 1,024) at 512 sequences, 34,468 for two epochs, 7,198 for WikiText-103 (230,312
    windows of 512) at 32.
    """
    return max(1, math.ceil(Fraction(epochs) * windows / effective_batch_size - NEW_TEXT))


def settle_horizon(config: Config, *, windows: int | None, effective_batch_size: int) -> Horizon:
    """Settle length and schedule; an explicit warmup or decay beyond the end is obeyed (``advice`` says so).

    Args:
        windows: training sequences in one epoch; None when the data is not prepared.

    Raises:
        ConfigError: two lengths or two floors at once, fewer tokens than one step, or a rate that scales from no batch.
        DataError: epochs of data that is not prepared, be it for the length or for evaluations.
    """
    problems: list[str] = []
    peak = _peak(config, effective_batch_size, problems)
    min_lr = _floor(config, peak, problems)
    max_iters = _length(config, windows, effective_batch_size, problems)
    if problems:
        raise ConfigError(*problems)
    return Horizon(
        max_iters=max_iters,
        schedule=config.schedule if config.decay_lr else "constant",
        warmup_iters=config.warmup_iters if config.decay_lr else 0,
        lr_decay_iters=max_iters if config.lr_decay_iters is None else config.lr_decay_iters,
        learning_rate=peak,
        min_lr=min_lr,
        eval_interval=_eval_interval(config, windows, effective_batch_size),
    )


def _length(config: Config, windows: int | None, effective_batch_size: int, problems: list[str]) -> int:
    if config.epochs is not None and config.max_tokens is not None:
        problems.append(
            f"epochs={config.epochs:g} and max_tokens={config.max_tokens}: both set the length of the run; keep one"
        )
    elif config.epochs is not None:
        if windows is None:
            raise _not_prepared(f"epochs={config.epochs:g}", config, "max_iters")
        return steps_for_epochs(config.epochs, windows, effective_batch_size)
    elif config.max_tokens is not None:
        tokens_per_iter = effective_batch_size * config.block_size
        if config.max_tokens < tokens_per_iter:
            problems.append(
                f"max_tokens={config.max_tokens}: less than one step, which reads {tokens_per_iter} tokens; "
                f"try max_tokens={tokens_per_iter} or a smaller batch"
            )
        return config.max_tokens // tokens_per_iter
    return config.max_iters


def _eval_interval(config: Config, windows: int | None, effective_batch_size: int) -> int:
    """Steps between evaluations; those of the first epoch where they come once an epoch."""
    if config.eval_interval != "epoch":
        return config.eval_interval
    if windows is None:
        raise _not_prepared("eval_interval=epoch", config, "eval_interval in steps")
    return steps_for_epochs(1, windows, effective_batch_size)


def _not_prepared(setting: str, config: Config, instead: str) -> DataError:
    return DataError(
        f"{setting}: how long dataset {config.dataset} is shows once it is prepared; "
        f"try {how_to_prepare(config)}; or set {instead}"
    )


def _peak(config: Config, effective_batch_size: int, problems: list[str]) -> float:
    try:
        return peak_rate(config, effective_batch_size)
    except ConfigError as missing:
        problems += missing.problems
        return config.learning_rate


def _floor(config: Config, peak: float, problems: list[str]) -> float:
    if config.min_lr is not None and config.min_lr_ratio is not None:
        problems.append(
            f"min_lr={config.min_lr:g} and min_lr_ratio={config.min_lr_ratio:g}: both set the floor of the rate; keep one"
        )
    if config.min_lr_ratio is not None:
        return _share(peak, config.min_lr_ratio)
    if config.min_lr is None:
        return _share(peak, 0.1)
    if config.lr_scaling != "none" and config.min_lr > peak and config.decay_lr and config.schedule != "constant":
        problems.append(
            f"min_lr={config.min_lr:g}: above the peak, which lr_scaling={config.lr_scaling} makes {peak:g}; "
            f"try min_lr={_share(peak, 0.1):g}, or min_lr_ratio=0.1"
        )
    return config.min_lr


def _share(rate: float, ratio: float) -> float:
    """Multiply as on paper: a tenth of 6e-4 is 6e-5 to the last bit, as a config that spells it out has it."""
    return float(Decimal(str(rate)) * Decimal(str(ratio)))
