"""What a run costs: rented by the hour, or its electricity.

List prices without commitment, for orientation: they move every month, differ between providers by half, and leave out taxes and
storage. ``--price`` is better. They were read in public transcriptions of the providers' pages (datareceipts/data-receipts,
skypilot-org/skypilot-catalog), not on the pages themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gptmill.plan.devices import device_of
from gptmill.plan.time import Forecast
from gptmill.plan.types import Plan

HOUR = 3600


class Price(NamedTuple):
    """Args: usd: per GPU and hour, on demand. read: the day of the transcription."""

    usd: float
    provider: str
    page: str
    read: str


RUNPOD, LAMBDA = ("RunPod Secure Cloud", "runpod.io/pricing"), ("Lambda", "lambda.ai/instances")
PRICES: dict[str, Price] = {
    "A100-SXM4-80GB": Price(1.79, *RUNPOD, "2026-11-09"),
    "A100-SXM4-40GB": Price(1.99, *LAMBDA, "2026-09-09"),
    "A100 80GB PCIe": Price(1.79, *RUNPOD, "2026-11-09"),
    "H100 80GB HBM3": Price(3.99, *RUNPOD, "2026-11-09"),
    "H100 PCIe": Price(2.89, *RUNPOD, "2026-11-09"),
    "H100 NVL": Price(3.19, *RUNPOD, "2026-11-09"),
    "H200": Price(4.59, *RUNPOD, "2026-10-07"),
    "B200": Price(6.79, *RUNPOD, "2026-10-07"),
    "GeForce RTX 4090": Price(0.74, *RUNPOD, "2026-09-09"),
    "V100-SXM2-16GB": Price(0.79, *LAMBDA, "2026-05-28"),  # an eighth of an instance with eight
    "RTX A6000": Price(1.09, *LAMBDA, "2026-05-28"),
    "A10G": Price(1.006, "Amazon EC2 g5.xlarge, us-east-1", "aws.amazon.com/ec2/pricing/on-demand", "2026-06-17"),
}


@dataclass(frozen=True)
class Cost:
    """Of a whole run, on all its devices.

    Args:
        usd, least, most: rent, and the interval that the forecast's time gives it; None without a price.
        per_hour: of one device [USD]; its own or the table's.
        where: whose price that is; None when it was given.
        kwh: electricity at the boards' full power, without the computer around them; None where that is not published.
        power_usd: that electricity; None without its price.
    """

    gpu_hours: float
    usd: float | None
    least: float | None
    most: float | None
    per_hour: float | None
    where: Price | None
    kwh: float | None
    power_usd: float | None


def cost_of(plan: Plan, time: Forecast, price: float | None = None, kwh_price: float | None = None) -> Cost:
    """Args: price: USD of one device and hour. kwh_price: USD of a kilowatt hour."""
    row = device_of(plan.device_name)
    listed = PRICES.get(row.name) if row and price is None else None
    per_hour = price if listed is None else listed.usd
    hours, shortest, longest = (
        seconds / HOUR * plan.world_size for seconds in (time.seconds, time.shortest, time.longest)
    )
    kwh = hours * row.watts / 1e3 if row and row.watts else None
    return Cost(
        gpu_hours=hours,
        usd=None if per_hour is None else hours * per_hour,
        least=None if per_hour is None else shortest * per_hour,
        most=None if per_hour is None else longest * per_hour,
        per_hour=per_hour,
        where=listed,
        kwh=kwh,
        power_usd=None if kwh is None or kwh_price is None else kwh * kwh_price,
    )
