"""``--profile START:STOP``: a trace of some steps, for a person to look at, and the operators that cost most.

The profiler watches; the weights come out bit-equal. Its steps are slower than others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from gptmill.cli.say import say
from gptmill.config.wording import one_line
from gptmill.errors import UserError
from gptmill.events import Event, Notice, RunDone, RunStarted, StepDone, Stopped
from gptmill.plan.types import Plan
from gptmill.units import duration

if TYPE_CHECKING:
    from torch.profiler import profile

TRACE = "trace.json.gz"
COSTLIEST = 10  # operators in the table
MOST_STEPS = 100  # a trace holds every operator of every step: thousands of lines each
COLUMNS = "{:<44}{:>8}{:>14}{:>14}"  # 80 wide: operator, share, time a step, calls a step


@dataclass(frozen=True)
class Steps:
    """Optimizer steps from ``first`` to ``last``, both included; the run's first step is 1."""

    first: int
    last: int


def parse_steps(_: type, tokens: tuple[Token, ...]) -> Steps:
    """START:STOP as typed.

    Raises:
        UserError: no such steps.
    """
    text = tokens[0].value
    match = re.fullmatch(r"(\d{1,12}):(\d{1,12})", text)
    if match is None:
        raise UserError(
            f"--profile={one_line(text)}: not a range of steps; try --profile=10:12 for steps 10, 11 and 12"
        )
    steps = Steps(int(match[1]), int(match[2]))
    if steps.first < 1:
        raise UserError(f"--profile={text}: the first step is 1; try --profile=1:{max(1, steps.last)}")
    if steps.last < steps.first:
        raise UserError(f"--profile={text}: ends before it begins; try --profile={steps.last or 1}:{steps.first}")
    if steps.last - steps.first >= MOST_STEPS:
        raise UserError(
            f"--profile={text}: {steps.last - steps.first + 1:,} steps are too many to look at; at most {MOST_STEPS}: "
            f"try --profile={steps.first}:{steps.first + 4}"
        )
    return steps


Profile = Annotated[
    Steps | None,
    Parameter(
        converter=parse_steps,
        n_tokens=1,
        accepts_keys=False,
        help="START:STOP: record these steps, both included, for Perfetto or chrome://tracing.",
    ),
]


def check_steps(steps: Steps | None, plan: Plan) -> None:
    """Raises UserError where the run has no such steps."""
    if steps and steps.last > plan.max_iters:
        raise UserError(
            f"--profile={steps.first}:{steps.last}: the run has {plan.max_iters:,} steps (max_iters); "
            f"try --profile={max(1, plan.max_iters - 2)}:{plan.max_iters}"
        )


class ProfileRecorder:
    """Writes trace.json.gz into the run folder, and says what cost most.

    Give it events after all other recorders: then what they do before the first step is not in the trace.
    """

    def __init__(self, run_dir: Path, steps: Steps, plan: Plan) -> None:
        self._path = run_dir / TRACE
        self._steps = steps
        self._device = plan.device.partition(":")[0]
        self._profiler: profile | None = None
        self._done = 0  # steps in the trace
        self._over = False

    def __call__(self, event: Event) -> Iterable[Event]:
        if self._over:
            return []
        if isinstance(event, RunStarted) and event.iter >= self._steps.first:
            return self._give_up(event, f"the run goes on after step {event.iter}")
        if event.iter == self._steps.first - 1:
            self._start()  # and again: an evaluation or a checkpoint after that step is not to be in the trace
        self._done += isinstance(event, StepDone) and event.iter >= self._steps.first
        if self._done and (event.iter >= self._steps.last or isinstance(event, RunDone | Stopped)):
            return self._finish(event.iter)
        return self._give_up(event, "the run ended") if isinstance(event, RunDone | Stopped) else []

    def close(self) -> None:
        if self._profiler is not None:
            self._profiler.stop()

    def _start(self) -> None:
        from torch.profiler import ProfilerActivity, profile

        self.close()
        # the profiler's library writes a line to stderr at every start and stop, and this is its only switch
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._device == "cuda" else [])]
        self._profiler = profile(activities=activities)
        self._profiler.start()

    def _give_up(self, event: Event, why: str) -> list[Event]:
        self._over = True
        return [Notice(event.iter, f"--profile: {why}, so step {self._steps.first} is not seen; there is no trace")]

    def _finish(self, step: int) -> list[Event]:
        assert self._profiler is not None
        self._over = True
        profiler, self._profiler = self._profiler, None
        profiler.stop()
        partial = self._path.with_name(f".{TRACE}")  # the ending tells torch to compress it
        try:
            profiler.export_chrome_trace(str(partial))
            os.replace(partial, self._path)
        except (OSError, RuntimeError) as error:
            return [Notice(step, f"{self._path}: the trace could not be written ({error}); training goes on")]
        say(*costliest(profiler.key_averages(), self._done))
        steps = f"{self._steps.first} to {self._steps.first + self._done - 1}"
        return [Notice(step, f"steps {steps} are in {self._path}: open it in ui.perfetto.dev or chrome://tracing")]


def costliest(averages: Iterable[Any], steps: int) -> list[str]:
    """The table of the operators that cost most: time of their own, on the GPU where there is one."""
    # kernels have rows too, and their time is in the row of the operator that started them
    rows = [row for row in averages if row.device_type.name == "CPU"]
    on_device = any(row.self_device_time_total for row in rows)
    microseconds = {id(row): row.self_device_time_total if on_device else row.self_cpu_time_total for row in rows}
    whole = sum(microseconds.values()) or 1.0
    lines = [COLUMNS.format("operator", "share", "time a step", "calls a step")]
    for row in sorted(rows, key=lambda row: microseconds[id(row)], reverse=True)[:COSTLIEST]:
        own = microseconds[id(row)]
        seconds, calls = duration(own / 1e6 / steps), f"{row.count / steps:,.1f}"
        lines.append(COLUMNS.format(one_line(row.key, 42), f"{own / whole:.1%}", seconds, calls))
    return lines
