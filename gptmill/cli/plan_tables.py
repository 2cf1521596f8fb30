"""The tables of ``gptmill plan``: over the devices of the hardware table, and over batch sizes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from typing import Any

from gptmill.plan.batch import with_batch_size
from gptmill.plan.devices import machine_of, table
from gptmill.plan.fit import LARGEST_BATCH, Trace, fits, largest_batch, needs
from gptmill.plan.outlook import outlook
from gptmill.plan.roofline import pace_of
from gptmill.plan.types import Machine, Plan
from gptmill.units import duration, size

GIB = 2**30
WIDTH = 80
DEVICES = "{:<31}{:>8}{:>7}{:>10}{:>13}{:>10}"  # 79 wide
BATCHES = "{:>10}{:>14}{:>9}{:>12}{:>14}{:>18}"


def device_table(
    planner: Callable[[Machine], Plan], price: float | None, kwh_price: float | None, trace: Trace, *, as_json: bool
) -> str:
    """Every device with known memory: whether the run fits, how long it takes, what it costs; the cheapest is named."""
    rows: list[dict[str, Any]] = []
    for device in table():
        if device.memory is None:
            continue
        plan = planner(machine_of(device))
        found = outlook(plan, None, price, kwh_price, trace)
        rows.append(
            {
                "device": device.name,
                "device_memory": device.memory,
                "fits": found.fits,
                "needs": found.needs,
                "batch_size": found.largest_batch,
                "seconds": found.time.seconds if found.time else None,
                "tokens_per_second": found.time.tokens_per_second if found.time else None,
                "basis": found.time.basis if found.time else None,
                "cost_usd": found.cost.usd if found.cost else None,
                "price_usd_per_hour": found.cost.per_hour if found.cost else None,
            }
        )
    cheapest = min(
        (row for row in rows if row["fits"] and row["cost_usd"] is not None),
        key=lambda row: row["cost_usd"],
        default=None,
    )
    if as_json:
        return json.dumps({"devices": rows, "cheapest": cheapest and cheapest["device"]}, allow_nan=False)
    lines = [DEVICES.format("", "GiB", "needs", "max batch", "time", "USD").rstrip()]
    for row in rows:
        time = (
            "-" if row["seconds"] is None else duration(row["seconds"]) + ("" if row["basis"] == "calibrated" else " ?")
        )
        cost = "-" if row["cost_usd"] is None else f"{row['cost_usd']:,.0f}"
        need = "-" if row["needs"] is None else f"{row['needs'] / GIB:.1f}"
        if row["fits"] is False:
            time, cost = "does not fit", ""
        name = row["device"].replace("Blackwell Workstation Edition", "Blackwell")
        most = "-" if row["batch_size"] is None else _batch(row["batch_size"])
        lines.append(DEVICES.format(name, f"{row['device_memory'] / GIB:.0f}", need, most, time, cost).rstrip())
    notes = ["? = no published run on this device: half to twice the time. --probe measures it there."]
    if cheapest:
        whose = "" if price is not None else ", a listed price"
        notes.append(
            f"Cheapest that fits: {cheapest['device']}, ${cheapest['cost_usd']:,.2f} at "
            f"${cheapest['price_usd_per_hour']:g} an hour{whose}."
        )
    lines += ["", *(line for note in notes for line in textwrap.wrap(note, WIDTH))]
    return "\n".join(lines)


def batch_table(plan: Plan, trace: Trace, *, as_json: bool) -> str:
    """Sequences at a time that make up the same step: memory and speed of each, the largest that fits marked."""
    share = plan.effective_batch_size // plan.world_size
    most = None if plan.device_memory is None else largest_batch(plan, trace=trace)
    rows: list[dict[str, Any]] = []
    even = plan.effective_batch_size % plan.world_size == 0  # else one at a time leaves a device without a sequence
    batches = [b for b in range(1 if even else 2, min(share, LARGEST_BATCH) + 1) if share % b == 0]
    for batch in _some(batches, plan.batch_size):
        at = with_batch_size(plan, batch)
        pace = pace_of(at)
        speed = None if pace is None else plan.tokens_per_iter / (at.micro_steps * pace.micro_step + pace.update)
        rows.append(
            {
                "batch_size": at.batch_size,
                "gradient_accumulation_steps": at.gradient_accumulation_steps,
                "needs": needs(at, trace),
                "fits": fits(at, trace=trace),
                "tokens_per_second": speed,
            }
        )
    if as_json:
        return json.dumps({"batches": rows, "largest": most}, allow_nan=False)
    lines = [
        f"{plan.effective_batch_size:,} sequences a step on {plan.device_name}, {size(plan.device_memory or 0)}",
        BATCHES.format("batch_size", "accumulation", "memory", "of device", "tokens/s", ""),
    ]
    for row in rows:
        share_used = "-" if plan.device_memory is None else f"{row['needs'] / plan.device_memory:.0%}"
        speed_shown = "-" if row["tokens_per_second"] is None else f"{row['tokens_per_second']:,.0f}"
        mark = "  as configured" if row["batch_size"] == plan.batch_size else ""
        mark = "  does not fit" if row["fits"] is False else mark
        lines.append(
            BATCHES.format(
                row["batch_size"], row["gradient_accumulation_steps"], size(row["needs"]).replace(" GiB", "G").replace(" MiB", "M"),
                share_used, speed_shown, mark.ljust(17),
            ).rstrip()
        )  # fmt: skip
    if most is not None:
        lines += ["", f"The most that fits at a time: {_batch(most)} sequences."]
    return "\n".join(line.rstrip() for line in lines)


def _some(batches: list[int], configured: int) -> list[int]:
    """At most 14 of them, near doublings, the configured one among them."""
    chosen, last = [], 0.0
    for batch in batches:
        if batch == configured or batch >= 1.4 * last:
            chosen.append(batch)
            last = batch
    return chosen[:14] if configured in chosen[:14] else [*chosen[:13], configured]


def _batch(batch: int) -> str:
    return f"{batch:,}" + ("+" if batch == LARGEST_BATCH else "")
