"""Plan and reality: once the first steps are done, what they took stands beside what was planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from gptmill.events import Event, Notice, StepDone
from gptmill.plan.fit import memory_known
from gptmill.plan.time import forecast
from gptmill.plan.types import Plan
from gptmill.units import duration, size

WARMUP = 5  # steps of a process that cost more than others
LOOKED_AT = 10  # steps after those


class PlanAndReality:
    """Answers one of the first steps with a Notice.

    Args:
        peak_memory: bytes that the process has held at most, on the device the plan speaks of.
    """

    def __init__(self, plan: Plan, peak_memory: Callable[[], int]) -> None:
        self._plan, self._peak_memory = plan, peak_memory
        self._seconds: list[float] = []

    def __call__(self, event: Event) -> Iterable[Event]:
        if isinstance(event, StepDone) and len(self._seconds) < WARMUP + LOOKED_AT:
            self._seconds.append(event.seconds)
            if len(self._seconds) == WARMUP + LOOKED_AT:
                return [Notice(event.iter, f"plan and reality: {'; '.join(self._compared())}")]
        return []

    def _compared(self) -> list[str]:
        plan, memory = self._plan, memory_known(self._plan)
        held = size(self._peak_memory())
        if memory is not None:
            planned = memory.peak + (0 if plan.device.startswith("cuda") else memory.context)
            held = f"{size(planned)} planned, {held} held at most"
        step, time = duration(median(self._seconds[WARMUP:])), forecast(plan)
        if time is not None:
            step = f"{duration(time.step)} a step planned ({time.basis}), {step} taken"
        return [held, step if time is not None else f"{step} a step"]
