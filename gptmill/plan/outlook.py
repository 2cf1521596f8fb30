"""What a plan means on its device: memory, time, cost, loss. What a figure rests on is said with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gptmill.plan.cost import Cost, cost_of
from gptmill.plan.fit import Trace, fits, largest_batch, memory_known, refusal
from gptmill.plan.loss import expected_loss
from gptmill.plan.memory import Memory
from gptmill.plan.roofline import Pace
from gptmill.plan.time import Costs, Forecast, forecast
from gptmill.plan.types import Plan


@dataclass(frozen=True)
class Outlook:
    """None: not known, because a part has no formula or nobody has published how fast the device is.

    Args:
        needs: bytes on each device, what is held before the first tensor included.
        largest_batch: the most sequences at a time that fit.
        way_out: where it does not fit, the nearest settings that do, or what else to try.
    """

    memory: Memory | None
    needs: int | None
    fits: bool | None
    largest_batch: int | None
    way_out: str | None
    time: Forecast | None
    cost: Cost | None
    loss: tuple[float, float] | None


def outlook(
    plan: Plan,
    measured: tuple[Pace, Costs] | None = None,
    price: float | None = None,
    kwh_price: float | None = None,
    trace: Trace | None = None,
) -> Outlook:
    """Args: measured: by a probe. price: USD of one device and hour. kwh_price: USD. trace: memory of a part from outside."""
    time, memory = forecast(plan, *(measured or ())), memory_known(plan, trace)
    return Outlook(
        memory=memory,
        needs=None if memory is None else memory.peak + memory.context,
        fits=fits(plan, trace=trace),
        largest_batch=largest_batch(plan, trace=trace) if memory and plan.device_memory else None,
        way_out=(refusal(plan, trace=trace) or "").partition("; ")[2] or None,
        time=time,
        cost=None if time is None else cost_of(plan, time, price, kwh_price),
        loss=expected_loss(plan),
    )


def outlook_json(found: Outlook) -> dict[str, Any]:
    """Its part of ``gptmill plan --json``: bytes per device, tokens/s of all devices, seconds, US dollars."""
    memory, time, cost = found.memory, found.time, found.cost
    parts = ("weights", "gradients", "optimizer", "activations", "logits", "overhead", "peak")
    return {
        "memory": {part: None if memory is None else getattr(memory, part) for part in parts},
        "needs": found.needs,
        "fits": found.fits,
        "largest_batch_size": found.largest_batch,
        "nearest_fit": found.way_out,
        "host_memory": None if memory is None else memory.host,
        "tokens_per_second": None if time is None else time.tokens_per_second,
        "mfu": None if time is None else time.mfu,
        "basis": "assumed" if time is None else time.basis,
        "seconds": None if time is None else time.seconds,
        "seconds_from_to": None if time is None else [time.shortest, time.longest],
        "seconds_by_part": None if time is None else time.parts,
        "seconds_to_first_checkpoint": None if time is None else time.first_checkpoint,
        "step_seconds": None if time is None else time.step,
        "cost_usd": None if cost is None else cost.usd,
        "cost": None if cost is None else {**asdict(cost), "where": cost.where._asdict() if cost.where else None},
        "expected_loss": None if found.loss is None else list(found.loss),
    }
