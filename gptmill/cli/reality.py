"""Plan and reality: once the first steps are done, what they took stands beside what was planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from gptmill.events import Event, FirstSteps, StepDone
from gptmill.plan.fit import memory_known
from gptmill.plan.time import forecast
from gptmill.plan.types import Plan
from gptmill.units import duration, size

WARMUP = 5  # steps of a process that cost more than others
LOOKED_AT = 10  # steps after those


class PlanAndReality:
    """Answers one of the first steps with FirstSteps.

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
                return [self._compared(event.iter)]
        return []

    def _compared(self, iter: int) -> FirstSteps:
        plan, memory, time = self._plan, memory_known(self._plan), forecast(self._plan)
        held, step = self._peak_memory(), median(self._seconds[WARMUP:])
        planned = None
        if memory is not None:
            planned = memory.peak + (0 if plan.device.startswith("cuda") else memory.context)
        space = size(held) if planned is None else f"{size(planned)} planned, {size(held)} held at most"
        pace = f"{duration(step)} a step"
        if time is not None:
            pace = f"{duration(time.step)} a step planned ({time.basis}), {duration(step)} taken"
        return FirstSteps(
            iter,
            f"plan and reality: {space}; {pace}",
            memory=held,
            planned_memory=planned,
            step_seconds=step,
            planned_step_seconds=time.step if time else None,
            planned_seconds=time.seconds if time else None,
            basis=time.basis if time else None,
        )
