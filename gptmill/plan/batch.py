"""How the sequences of one optimizer step are spread over devices and micro-steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gptmill.config.schema import Config
from gptmill.errors import ConfigError
from gptmill.plan.types import Plan


@dataclass(frozen=True)
class Batch:
    """One optimizer step of effective_batch_size sequences.

    Args:
        batch_size: sequences per device and micro-step, at most.
        gradient_accumulation_steps: micro-steps summed over all devices, as nanoGPT counts them.
        micro_steps: micro-steps each device takes.
    """

    batch_size: int
    gradient_accumulation_steps: int
    world_size: int
    micro_steps: int
    effective_batch_size: int


def settle_batch(config: Config, world_size: int) -> Batch:
    """Settle accumulation for a number of devices; an effective batch is reached exactly, by micro-batches as even as can be.

    Raises:
        ConfigError: accumulation or sequences do not split over the devices.
    """
    wanted = config.effective_batch_size
    if wanted is not None:
        return spread(wanted, config.batch_size, world_size)
    accumulation = config.gradient_accumulation_steps
    if accumulation % world_size:
        reachable = " or ".join(
            f"{m} ({m * config.batch_size:,} sequences per step)" for m in neighbours(accumulation, world_size)
        )
        raise ConfigError(
            f"gradient_accumulation_steps={accumulation}: it is summed over all devices and does not split over "
            f"{world_size} of them; try {reachable}"
        )
    return spread(accumulation * config.batch_size, config.batch_size, world_size)


def spread(effective_batch_size: int, batch_size: int, world_size: int) -> Batch:
    """As few micro-steps as reach the effective batch with at most ``batch_size`` sequences each.

    Raises:
        ConfigError: a device would have nothing to do: fewer sequences than devices, or one by one and no multiple.
    """
    micro_steps = -(-effective_batch_size // (batch_size * world_size))
    slots = micro_steps * world_size
    if effective_batch_size < slots:
        reachable = " or ".join(str(m) for m in neighbours(effective_batch_size, world_size))
        raise ConfigError(
            f"effective_batch_size={effective_batch_size}: leaves one of {world_size} devices without a sequence at "
            f"batch_size={batch_size}; try {reachable}"
        )
    return Batch(-(-effective_batch_size // slots), slots, world_size, micro_steps, effective_batch_size)


def micro_batch(plan: Plan, micro_step: int, rank: int) -> tuple[int, int]:
    """The sequences of a step that a device takes in a micro-step: the first, counted within the step, and how many."""
    slots, slot = plan.micro_steps * plan.world_size, micro_step * plan.world_size + rank
    first = plan.effective_batch_size * slot // slots
    return first, plan.effective_batch_size * (slot + 1) // slots - first


def sizes(plan: Plan) -> str:
    """The sequences of a micro-batch for a person: '8', or '7-8' where they cannot all be equal."""
    least = plan.effective_batch_size // (plan.micro_steps * plan.world_size)
    return f"{plan.batch_size}" if least == plan.batch_size else f"{least}-{plan.batch_size}"


def with_batch_size(plan: Plan, batch_size: int) -> Plan:
    """The same steps of the same sequences, in micro-batches of at most ``batch_size``."""
    batch = spread(plan.effective_batch_size, batch_size, plan.world_size)
    return replace(
        plan,
        batch_size=batch.batch_size,
        gradient_accumulation_steps=batch.gradient_accumulation_steps,
        micro_steps=batch.micro_steps,
    )


def in_micro_steps(plan: Plan, micro_steps: int, most: int) -> Plan:
    """The same step in at most this many micro-steps of each device, more where micro-batches would exceed ``most``."""
    even = -(-plan.effective_batch_size // (micro_steps * plan.world_size))
    return with_batch_size(plan, min(most, even))


def neighbours(n: int, step: int) -> list[int]:
    """The multiples of ``step`` next to ``n``: one below (unless that is 0) and one above."""
    below = n // step * step
    return [m for m in (below, below + step) if m > 0]
