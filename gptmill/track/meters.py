"""What a step's seconds mean: tokens per second, FLOP/s, their share of the device's peak (MFU), how calm the loss is."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gptmill.events import Event, RunStarted, StepDone
from gptmill.plan.types import Plan

WARMUP_STEPS = 5  # of every process: they compile, fill caches and pick kernels, so their MFU says nothing of the rest
WINDOW = 100  # steps that loss_variance looks back


class Meter:
    """Adds ``mfu`` and ``loss_variance`` to every StepDone.

    Speed and FLOP/s are those of all devices together, and so is the peak they are held against.

    Args:
        peak_flops: dense peak of one device [FLOP/s]; None: not known, then there is no MFU, only FLOP/s.
        attention_flops, ffn_flops: forward, per layer and sequence; None for a part without formulas.
        utilization: asked on steps that are logged; percent of the time in which the GPU ran any kernel, or None.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        peak_flops: float | None,
        attention_flops: int | None,
        ffn_flops: int | None,
        utilization: Callable[[], float | None] | None = None,
    ) -> None:
        self._flops_per_token = plan.flops_per_token
        self._log_interval = plan.log_interval
        self._peak = None if peak_flops is None else peak_flops * plan.world_size
        self._utilization = utilization
        self._fixed: dict[str, Any] = {
            "flops_per_token": plan.flops_per_token,
            "hardware_peak_flops": self._peak,
            "hardware_peak_tflops": None if self._peak is None else self._peak / 1e12,
            "gpu_name": plan.device_name,
            "precision": plan.dtype,
            "num_gpus": plan.world_size,
            "attention_flops_per_layer": attention_flops,
            "ffn_flops_per_layer": ffn_flops,
            "attention_to_ffn_ratio": attention_flops / ffn_flops if attention_flops and ffn_flops else None,
            "architecture": plan.architecture,
        }
        self._steps = 0  # of this process
        self._losses: deque[float] = deque(maxlen=WINDOW)

    def __call__(self, event: Event) -> Event:
        if isinstance(event, RunStarted):
            self._steps = 0
            self._losses.clear()
        if not isinstance(event, StepDone):
            return event
        self._steps += 1
        if math.isfinite(event.loss):
            self._losses.append(event.loss)
        return replace(event, mfu=self._mfu(event), loss_variance=variance(self._losses))

    def _mfu(self, event: StepDone) -> dict[str, Any]:
        """Members named as in the documented JSON log; ``mfu`` is a share, null while warming up."""
        speed = event.tokens / event.seconds if event.seconds > 0 else None
        achieved = None if speed is None else speed * self._flops_per_token
        known = achieved is not None and self._peak is not None and self._steps > WARMUP_STEPS
        mfu = achieved / self._peak if known else None  # type: ignore[operator]
        measured: dict[str, Any] = {
            "mfu": mfu,
            "mfu_percent": None if mfu is None else mfu * 100,
            "flops_achieved": achieved,
            "achieved_tflops": None if achieved is None else achieved / 1e12,
            "tokens_per_sec": speed,
        }
        if self._utilization and event.iter % self._log_interval == 0:
            measured["gpu_utilization_percent"] = self._utilization()
        return {**measured, **self._fixed}


def variance(values: deque[float]) -> float | None:
    """Sample variance; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
