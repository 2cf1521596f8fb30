"""A process's sign of life: what it does, since when, and how long that may take. Some bytes, written over and over.

Only a process knows whether it is in a step, which takes what steps take, or saving or compiling, which may take long.
So each says itself how much patience it asks for, and whoever watches needs no history.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from statistics import median
from typing import Protocol

from gptmill.errors import GptmillError
from gptmill.events import EvalDone, Event, RunStarted, StepDone
from gptmill.plan.types import Plan

DUMP = signal.SIGUSR2  # asks a process for the stacks of its threads
LONG = 1800.0  # seconds for what has no usual time: starting, compiling, saving, the first evaluation
TIMES = 10.0  # the usual time, after which a silent step or evaluation is a hang ...
LEAST = 10.0  # ... and no sooner than after so many seconds: disks and other users make single steps slow
LEAST_COMPILED = 120.0  # a compiled step may be compiled again, for a batch of another size
STEPS = 64  # whose median is usual
RECORD = struct.Struct("<dddqqqq")  # a Beat


class Phase(IntEnum):
    START = 0
    STEP = 1
    EVALUATION = 2
    RECORDS = 3  # the recorders have the floor: saving, sampling, drawing
    END = 4
    DECIDED = 5  # to end; starting again would end in the same way


@dataclass(frozen=True)
class Beat:
    """
    Args:
        began: by the machine's monotonic clock, which all its processes share [seconds].
        patience: what this may take, by what it usually takes [seconds].
        least: and no hang is sooner than this, unless the supervisor knows better [seconds].
        iter: optimizer steps taken.
        first, last: training sequences of the next step.
    """

    began: float
    patience: float
    least: float
    phase: int
    iter: int
    first: int
    last: int


class Progress(Protocol):
    """Of a training state, what tells how far it is."""

    iter: int
    sequences: int


class Heartbeat:
    """What a process tells about itself; nothing, without a folder to tell it in.

    Args:
        folder: the supervisor's, which names it to those that it starts.
    """

    def __init__(self, folder: Path | None, rank: int, plan: Plan, state: Progress) -> None:
        self._folder, self._plan, self._state = folder, plan, state
        self._least = LEAST_COMPILED if plan.compile else LEAST
        self._steps: deque[float] = deque(maxlen=STEPS)
        self._evaluation: float | None = None
        self._phase = Phase.START
        if folder is None:
            return
        self._fd = os.open(beat_file(folder, rank), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._stacks = stack_file(folder, rank).open("w")
        faulthandler.register(DUMP, file=self._stacks)
        self._supervisor: int | None = int(supervisor_file(folder).read_text())
        self._beat(Phase.START)

    def name_run(self, run_dir: Path) -> None:
        """Tell the supervisor which folder the run is in."""
        if self._folder is not None:
            run_file(self._folder).write_text(str(run_dir))

    def over(self, events: Iterator[Event]) -> Iterator[Event]:
        """The same events; the time between two is the loop's, the time until the next is asked for the recorders'."""
        if self._folder is None:
            yield from events
            return
        try:
            for event in events:
                self._beat(Phase.RECORDS)
                yield event
                self._beat(self._next(event))
        except GptmillError:
            self._beat(Phase.DECIDED)
            raise
        self._beat(Phase.END)

    def _next(self, event: Event) -> Phase:
        """What the loop does after it has told this."""
        match event:
            case StepDone():
                self._steps.append(event.seconds)
            case EvalDone():
                self._evaluation = max(event.seconds, self._evaluation or 0.0)
                self._phase = Phase.STEP
        if isinstance(event, RunStarted | StepDone):
            due = self._plan.evaluates_after(event.iter) or event.iter >= self._plan.max_iters
            self._phase = Phase.EVALUATION if due else Phase.STEP
        return self._phase

    def _patience(self, phase: Phase) -> float:
        usual = None
        if phase == Phase.STEP and self._steps:
            usual = median(self._steps)
        elif phase == Phase.EVALUATION:
            usual = self._evaluation
        return LONG if usual is None else TIMES * usual

    def _beat(self, phase: Phase) -> None:
        first = self._state.sequences
        last = first + self._plan.effective_batch_size - 1
        beat = (time.monotonic(), self._patience(phase), self._least, phase, self._state.iter, first, last)
        os.pwrite(self._fd, RECORD.pack(*beat), 0)
        if self._supervisor not in (None, os.getppid()):  # it is gone, so this run ends as if it had been told to
            self._supervisor = None
            signal.raise_signal(signal.SIGTERM)


def beat_file(folder: Path, rank: int) -> Path:
    return folder / f"rank_{rank}"


def stack_file(folder: Path, rank: int) -> Path:
    return folder / f"stacks_rank_{rank}.txt"


def supervisor_file(folder: Path) -> Path:
    """Holds the supervisor's process id."""
    return folder / "supervisor"


def run_file(folder: Path) -> Path:
    return folder / "run"


def read_beat(folder: Path, rank: int) -> Beat | None:
    """What a process last told; None when it has told nothing yet."""
    try:
        return Beat(*RECORD.unpack(beat_file(folder, rank).read_bytes()))
    except (OSError, struct.error):
        return None
