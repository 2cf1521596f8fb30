"""Where a step's time goes, without slowing the step: the processor's clock, or CUDA's events on the stream itself."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch

ACTIVITIES = {  # of a step, by the laps of which each consists
    "data": ("data",),
    "compute": ("forward", "backward"),
    "communication": ("communication",),
    "optimizer": ("clip", "update"),
}
LAPS = [lap for laps in ACTIVITIES.values() for lap in laps]


class Stopwatch:
    """Adds up the time between laps by their names.

    On CUDA a lap is an event in the stream, so its time is how long it kept the device busy or waiting. Events
    are read only once the step's own synchronization has passed them; what the optimizer still does then is told with
    the next step.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda")
        self._marks: list[tuple[str, Any]] = []
        self._passed = 0  # marks that the device is known to be through with

    def start(self) -> None:
        """Begin a step: the time since the lap before belongs to nobody."""
        self.lap("")

    def lap(self, name: str) -> None:
        """The time since the lap before went into this."""
        self._marks.append((name, self._now()))

    def synchronized(self) -> None:
        """The step has just waited for the device."""
        self._passed = len(self._marks)

    def read(self) -> dict[str, float]:
        """Seconds by lap since the last reading."""
        known = self._marks[: self._passed] if self._cuda else self._marks
        seconds = dict.fromkeys(LAPS, 0.0)
        for (_, began), (name, ended) in pairwise(known):
            if name:
                seconds[name] += began.elapsed_time(ended) / 1e3 if self._cuda else ended - began
        if known:
            self._marks = self._marks[len(known) - 1 :]
            self._passed = 0
        return seconds

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def by_activity(laps: dict[str, float]) -> dict[str, float]:
    return {activity: sum(laps[lap] for lap in parts) for activity, parts in ACTIVITIES.items()}
