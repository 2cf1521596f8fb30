"""The figures of the plan's page in words: memory with its bar, time, cost, loss. Each line says what it rests on."""

from __future__ import annotations

from gptmill.plan.fit import LARGEST_BATCH
from gptmill.plan.flops import has_closed_form
from gptmill.plan.memory import Memory
from gptmill.plan.outlook import Outlook
from gptmill.plan.time import Forecast
from gptmill.plan.types import Plan
from gptmill.units import duration, size

SMALL = 0.01  # share of what is needed, below which a member is not drawn
GIB = 2**30
# what fills the bar, and the letter that stands for it
MEMBERS = (
    ("weights", "W"), ("gradients", "G"), ("optimizer", "O"), ("activations", "A"), ("logits", "L"), ("overhead", "v"),
    ("context", "c"),
)  # fmt: skip


def memory_lines(plan: Plan, found: Outlook, columns: int) -> list[str]:
    """Whether it fits, a bar of the device's memory, what the letters are, and which batches fit."""
    memory = found.memory
    if memory is None or found.needs is None:
        return ["not known: a part has no formula"]
    legend = ", ".join(f"{letter} {name} {_gib(getattr(memory, name))}" for name, letter in MEMBERS)
    if plan.device_memory is None:
        return [f"{size(found.needs)} on each device; how much it has is not known", f"{legend} GiB"]
    share = found.needs / plan.device_memory
    verdict = f"fits: {share:.0%}" if found.fits else f"does not fit: {share:.0%}"
    lines = [
        f"{size(found.needs)} of {size(plan.device_memory)}{' on each device' * (plan.world_size > 1)} ({verdict})",
        bar(memory, plan.device_memory, columns),
        f"{legend} GiB",
    ]
    if found.fits:
        most = found.largest_batch
        host = f"; {size(memory.host)} on the host" if plan.device != "cpu" else ""
        lines.append(f"batch_size up to {most:,}{' and more' * (most == LARGEST_BATCH)} would fit{host}")
    return lines if found.way_out is None else [*lines, found.way_out]


def bar(memory: Memory, device_memory: int, columns: int) -> str:
    """Brackets around a device's whole memory in letters, and one for a small member; what is beyond the end is cut and marked."""
    letters, inside = "", columns - 2
    for name, letter in MEMBERS:
        held = getattr(memory, name)
        small = held > SMALL * memory.peak
        letters += letter * max(small, round(held / device_memory * inside))
    return f"[{letters[:inside].ljust(inside, '.')}{']' if len(letters) <= inside else '>'}"


def time_lines(plan: Plan, found: Outlook) -> list[str]:
    """The whole run with its interval, the pace, what it is made of, and on what that rests."""
    time = found.time
    if time is None:
        return [f"not known: {why_no_time(plan)}; --probe measures it in about ten seconds"]
    hypothetical = "if it fitted: " if found.fits is False else ""
    speed = f"{time.tokens_per_second:,.0f} tokens/s" + (f", MFU {time.mfu:.1%}" if time.mfu is not None else "")
    return [
        f"{hypothetical}{duration(time.seconds)} ({duration(time.shortest)} to {duration(time.longest)}), {duration(time.step)} a step",
        speed + _first(time),
        ", ".join(f"{name} {duration(seconds)}" for name, seconds in time.parts.items()),
        f"{time.basis}: {time.because}",
    ]


def why_no_time(plan: Plan) -> str:
    """Of a plan whose time is not known."""
    own = not has_closed_form(plan.shape)
    return "a part has no formula" if own else f"nothing is published of {plan.device_name}"


def cost_lines(plan: Plan, found: Outlook) -> list[str]:
    """Rent and electricity; nothing where neither is known."""
    cost = found.cost
    if cost is None:
        return []
    lines = []
    if cost.usd is not None and cost.least is not None and cost.most is not None:
        lines.append(
            f"{_usd(cost.usd)} ({_usd(cost.least)} to {_usd(cost.most)}) for {cost.gpu_hours:,.1f} GPU hours at "
            f"{_usd(cost.per_hour or 0)}"
        )
        if cost.where:
            lines.append(f"list price of {cost.where.provider} on {cost.where.read}; --price sets yours")
    elif plan.device.startswith("cuda"):
        lines.append(f"{cost.gpu_hours:,.1f} GPU hours; no listed price, --price=USD_PER_GPU_HOUR sets one")
    if cost.kwh is not None:
        paid = f" = {_usd(cost.power_usd)}" if cost.power_usd is not None else ""
        lines.append(f"{cost.kwh:,.1f} kWh at full power, without the computer around{paid}")
    return lines


def loss_lines(found: Outlook) -> list[str]:
    if found.loss is None:
        return []
    low, high = found.loss
    return [f"{low:.2f} to {high:.2f} expected at the end (assumed: arXiv:2404.10102, and 10% for this text)"]


def _first(time: Forecast) -> str:
    if time.first_checkpoint is None:
        return ""
    return f"; first checkpoint after {duration(time.first_checkpoint)}"


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / GIB:.2f}"


def _usd(amount: float) -> str:
    return f"${amount:,.0f}" if amount >= 100 else f"${amount:,.2f}"
