"""What a run knows before its first step: the device, its peak, and what a token costs on it."""

from __future__ import annotations

from collections.abc import Callable

from gptmill.plan.flops import Parts, has_closed_form, parts
from gptmill.plan.peaks import peak_flops
from gptmill.plan.types import Plan


def device_peak(plan: Plan) -> float | None:
    """Dense peak of one device in the run's dtype [FLOP/s]; None when none is published."""
    return peak_flops(plan.device_name, plan.dtype, plan.matmul_precision)


def known_parts(plan: Plan) -> Parts | None:
    """Where a token's FLOP go; None when a part has no formulas, because it came from outside."""
    return parts(plan.shape) if has_closed_form(plan.shape) else None


def layer_flops(plan: Plan) -> tuple[int, int] | tuple[None, None]:
    """Forward FLOP of attention and of the feed-forward, of one layer and one sequence."""
    cost = known_parts(plan)
    if cost is None:
        return None, None
    L, T = plan.shape.n_layer, plan.shape.block_size
    return (cost.projections + cost.scores) // L * T, cost.feed_forward // L * T


def utilization(device: str) -> Callable[[], float | None] | None:
    """A question to NVML: percent of the last second in which the GPU ran any kernel. None without a GPU or its package."""
    if not device.startswith("cuda"):
        return None
    import torch

    def ask() -> float | None:
        try:
            return float(torch.cuda.utilization(device))
        except Exception:  # NVML has errors of its own; one look that fails must not end a run
            return None

    return None if ask() is None else ask
