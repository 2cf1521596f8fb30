"""How the sequences of one optimizer step are spread over devices and micro-steps."""

from __future__ import annotations

from dataclasses import dataclass

from gptmill.config.schema import Config
from gptmill.errors import ConfigError


@dataclass(frozen=True)
class Batch:
    """One optimizer step: effective_batch_size = batch_size x gradient_accumulation_steps sequences.

    Args:
        batch_size: sequences per device and micro-step.
        gradient_accumulation_steps: micro-steps summed over all devices, as nanoGPT counts them.
        micro_steps: micro-steps each device takes.
    """

    batch_size: int
    gradient_accumulation_steps: int
    world_size: int
    micro_steps: int
    effective_batch_size: int


def settle_batch(config: Config, world_size: int) -> Batch:
    """Settle accumulation for a number of devices; an effective batch is reached exactly or not at all.

    Raises:
        ConfigError: the step does not split evenly; names the nearest batches that do.
    """
    wanted = config.effective_batch_size
    if wanted is None:
        accumulation = _split_over_devices(config.gradient_accumulation_steps, config.batch_size, world_size)
    else:
        accumulation = _fill(wanted, config.batch_size, world_size)
    return Batch(
        batch_size=config.batch_size,
        gradient_accumulation_steps=accumulation,
        world_size=world_size,
        micro_steps=accumulation // world_size,
        effective_batch_size=accumulation * config.batch_size,
    )


def neighbours(n: int, step: int) -> list[int]:
    """The multiples of ``step`` next to ``n``: one below (unless that is 0) and one above."""
    below = n // step * step
    return [m for m in (below, below + step) if m > 0]


def _split_over_devices(accumulation: int, batch_size: int, world_size: int) -> int:
    if accumulation % world_size:
        reachable = " or ".join(
            f"{m} ({m * batch_size:,} sequences per step)" for m in neighbours(accumulation, world_size)
        )
        raise ConfigError(
            f"gradient_accumulation_steps={accumulation}: it is summed over all devices and does not split over "
            f"{world_size} of them; try {reachable}"
        )
    return accumulation


def _fill(wanted: int, batch_size: int, world_size: int) -> int:
    step = batch_size * world_size
    if wanted % step:
        reachable = " or ".join(str(m) for m in neighbours(wanted, step))
        message = (
            f"effective_batch_size={wanted}: not a multiple of batch_size x devices = {batch_size} x {world_size} "
            f"= {step}; try {reachable}"
        )
        if wanted % world_size == 0:
            share = wanted // world_size
            largest = min(batch_size, share)
            fitting = next((b for b in range(largest, max(0, largest - 1000), -1) if share % b == 0), 1)
            message += f", or batch_size={fitting}"
        raise ConfigError(message)
    return wanted // batch_size
