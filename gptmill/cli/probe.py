"""``gptmill plan --probe``: about ten seconds of the run itself, thrown away, for its pace and what it pays besides."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, TypeVar

from gptmill.plan.roofline import Pace
from gptmill.plan.saving import BEHIND, checkpoint_bytes
from gptmill.plan.time import Costs, assumed_costs
from gptmill.plan.types import Plan

if TYPE_CHECKING:
    import numpy as np

    from gptmill.train.state import TrainState

Value = TypeVar("Value")

STEPPING, EVALUATING = 8.0, 1.5  # seconds of steps, of evaluation batches
LONGEST_STEP = 1.5  # seconds; a micro-batch that takes longer is measured in part
BLOCKS = 3  # of steps, whose means tell how steady the machine is
STEADIEST = 0.05  # no interval is narrower
LARGEST_SAVE = 2**31  # bytes; a larger checkpoint is not written for a probe


def probe(plan: Plan, out_dir: str) -> tuple[Pace, Costs]:
    """Take real steps of the plan's model on its device, evaluate, save once to where runs go, and delete that.

    Data is random ids: speed does not depend on what is learned. On a CPU a large micro-batch is cut to one that
    fits in the time; its tokens then count as fast as those of the whole.
    """
    import numpy as np
    import torch

    from gptmill.cli.parts import new_state
    from gptmill.parallel.launch import find_place
    from gptmill.parallel.single import Single
    from gptmill.train.evaluate import mean_losses
    from gptmill.train.signals import StopOnSignal
    from gptmill.train.step import train_step
    from gptmill.train.watch import Watch

    state = new_state(plan)
    start = _process_seconds()
    engine, generator = Single(find_place()), np.random.default_rng(0)
    forward = engine.wrap(state.model, plan)

    def take(first: int, count: int) -> np.ndarray:
        return generator.integers(plan.shape.vocab_size, size=(count, plan.shape.block_size + 1), dtype=np.int64)

    def step(of: Plan, watch: Watch) -> tuple[float, float]:
        """Seconds of a step with one micro-step, and of these what belongs to the micro-step."""
        began = time.perf_counter()
        done = train_step(state, of, engine, forward, take, watch)
        if plan.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - began, done.times["data"] + done.times["compute"]

    small = _one_micro_step(plan, plan.batch_size)
    if not plan.compile and plan.device.split(":")[0] == "cpu":
        one = _one_micro_step(plan, 1)
        watch = Watch(one, state)
        step(one, watch)
        each = step(one, watch)[0]
        small = _one_micro_step(plan, max(1, min(plan.batch_size, int(LONGEST_STEP / each))))
    watch = Watch(small, state)
    first, second = step(small, watch)[0], step(small, watch)[0]
    if second < LONGEST_STEP:
        step(small, watch)
    seconds, micro, spread = _measure(lambda: step(small, watch))
    share = plan.batch_size / small.batch_size

    windows = take(0, small.batch_size)
    with StopOnSignal() as stop:
        first_look, *times = _repeat(lambda: mean_losses(state, small, engine, forward, windows, stop), EVALUATING)
    part = "" if share == 1 else f", a part of batch_size={plan.batch_size},"
    pace = Pace(
        micro_step=mean(micro) * share,
        update=max(0.0, mean(seconds) - mean(micro)),
        forward=mean(times) * share,
        slowest=1 - spread,
        fastest=1 + spread,
        basis="measured",
        because=f"{len(seconds)} real steps of {small.batch_size} x {plan.shape.block_size:,} tokens{part} on this machine",
    )
    costs = Costs(
        start=start,
        compiling=max(0.0, first - mean(seconds) + first_look - mean(times)) if plan.compile else 0.0,
        checkpoint=_checkpoint_seconds(state, plan, out_dir),
        stall=_copying_seconds(state),
    )
    return pace, costs


def _one_micro_step(plan: Plan, batch_size: int) -> Plan:
    return replace(
        plan, batch_size=batch_size, micro_steps=1, gradient_accumulation_steps=1, world_size=1,
        effective_batch_size=batch_size, tokens_per_iter=batch_size * plan.shape.block_size,
    )  # fmt: skip


def _measure(step: Callable[[], tuple[float, float]]) -> tuple[list[float], list[float], float]:
    """Seconds of each step, of its micro-step, and how far blocks of steps lie apart, as a share."""
    pairs = _repeat_values(step, STEPPING)
    if len(pairs) >= 20:
        pairs = pairs[len(pairs) % 10 :]  # monitors look every tenth step
    seconds, micro = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    size = math.ceil(len(seconds) / BLOCKS)
    means = [mean(seconds[i : i + size]) for i in range(0, len(seconds), size)]
    return seconds, micro, min(0.5, max(STEADIEST, (max(means) - min(means)) / mean(seconds)))


def _repeat(call: Callable[[], Any], limit: float) -> list[float]:
    """Seconds of each call, for at least two calls and about ``limit`` seconds."""

    def timed() -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return _repeat_values(timed, limit)


def _repeat_values(call: Callable[[], Value], limit: float) -> list[Value]:
    values: list[Value] = []
    ends = time.perf_counter() + limit
    while len(values) < 2 or time.perf_counter() < ends:
        values.append(call())
    return values


def _copying_seconds(state: TrainState) -> float | None:
    """Of a state that is written while training goes on."""
    from gptmill.train.capture import capture, copied

    taken = capture(state)
    if taken.n_bytes < BEHIND:
        return None
    began = time.perf_counter()
    copied(taken)
    return time.perf_counter() - began


def _checkpoint_seconds(state: TrainState, plan: Plan, out_dir: str) -> float:
    """Write one, read it back, delete it; assumed where that would be large or the disk refuses."""
    from gptmill.errors import GptmillError
    from gptmill.train.checkpoint import save

    if checkpoint_bytes(plan) <= LARGEST_SAVE:
        folder = Path(out_dir).absolute().parent
        with contextlib.suppress(OSError, GptmillError), tempfile.TemporaryDirectory(prefix=".probe-", dir=folder) as t:
            return save(Path(t), state, {}).seconds
    return assumed_costs(plan).checkpoint


def _process_seconds() -> float:
    """Since this process began; where Linux does not tell, what importing torch usually takes."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 3.0
