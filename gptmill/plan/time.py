"""How long a run takes from the command to its last checkpoint: steps, evaluations, checkpoints and the start."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, lcm

from gptmill.plan.devices import peak_flops
from gptmill.plan.horizon import windows_per_epoch
from gptmill.plan.roofline import Pace, pace_of
from gptmill.plan.saving import BEHIND, checkpoint_bytes, minutes_between
from gptmill.plan.types import Plan

# Where nothing was measured
COMPILING = 60.0  # seconds: nanoGPT's train.py says "takes a ~minute"
STARTING = 10.0  # seconds until the first step: importing torch, building the model
WRITING = 500e6  # bytes of checkpoint per second, written and read back: a plain disk
COPYING = 4e9  # bytes of a state per second, from memory to memory


@dataclass(frozen=True)
class Costs:
    """What a run pays besides its steps [s].

    Args:
        start: until the first step, without compiling.
        compiling: extra time of the first step.
        checkpoint: of each, until it is on the disk.
        stall: of these, what the steps wait for; None = all. The last checkpoint is waited for in any case.
        closing: after the last step: the report.
    """

    start: float
    compiling: float
    checkpoint: float
    closing: float = 1.0
    stall: float | None = None


@dataclass(frozen=True)
class Forecast:
    """When what happens. Seconds are from the command on, of all devices working together.

    Args:
        tokens_per_second: while it trains, of all devices.
        mfu: None where the peak is not known.
        parts: seconds by what they go into.
        first_checkpoint: seconds until something is saved; None when a run without steps saves nothing.
        shortest, longest: the interval of ``seconds``.
        basis: 'measured', 'calibrated' or 'assumed'.
        because: what that rests on.
    """

    step: float
    tokens_per_second: float
    mfu: float | None
    seconds: float
    parts: dict[str, float]
    first_checkpoint: float | None
    shortest: float
    longest: float
    basis: str
    because: str


def assumed_costs(plan: Plan) -> Costs:
    """What is not known without trying."""
    n_bytes = checkpoint_bytes(plan)
    return Costs(
        start=STARTING,
        compiling=COMPILING if plan.compile else 0.0,
        checkpoint=n_bytes / WRITING,
        stall=n_bytes / COPYING if n_bytes >= BEHIND else None,
    )


def forecast(plan: Plan, pace: Pace | None = None, costs: Costs | None = None) -> Forecast | None:
    """The run's time; None where the pace is not known.

    Args:
        pace: measured; None takes the roofline's.
        costs: measured; None assumes them.
    """
    pace = pace or pace_of(plan)
    if pace is None:
        return None
    costs = costs or assumed_costs(plan)
    step = plan.micro_steps * pace.micro_step + pace.update
    evaluation = pace.forward * batches_per_evaluation(plan)
    stall = costs.checkpoint if costs.stall is None else costs.stall
    saves = checkpoints(plan, step, evaluation, stall)
    parts = {
        "training": plan.max_iters * step,
        "evaluation": evaluations(plan) * evaluation,
        "checkpoints": (saves - 1) * stall + costs.checkpoint if saves else 0.0,
        "start": costs.start + costs.compiling + costs.closing,
    }
    first = _first_checkpoint(plan, step, evaluation)
    speed = plan.tokens_per_iter / step
    peak = peak_flops(plan.device_name, plan.dtype, plan.matmul_precision)
    seconds = sum(parts.values())
    return Forecast(
        step=step,
        tokens_per_second=speed,
        mfu=None if peak is None else speed * plan.flops_per_token / (peak * plan.world_size),
        seconds=seconds,
        parts=parts,
        first_checkpoint=None if first is None else costs.start + costs.compiling + first + costs.checkpoint,
        shortest=seconds / pace.fastest,
        longest=seconds / pace.slowest,
        basis=pace.basis,
        because=pace.because,
    )


def batches_per_evaluation(plan: Plan) -> int:
    """Of both splits, that each device takes; a split with fewer windows than are asked for is read once."""
    wanted = plan.eval_sequences
    total = 0
    for tokens in (plan.train_tokens, plan.val_tokens):
        windows = wanted if tokens is None else min(wanted, windows_per_epoch(tokens, plan.shape.block_size))
        total += ceil(ceil(windows / plan.batch_size) / plan.world_size)
    return total


def evaluations(plan: Plan) -> int:
    """Before the first step, at every interval, and at the end."""
    if plan.eval_only:
        return 1
    between = plan.epochs_after(plan.max_iters) if plan.eval_per_epoch else plan.max_iters // plan.eval_interval
    return 1 + between + (not plan.evaluates_after(plan.max_iters))


def checkpoints(plan: Plan, step: float, evaluation: float, stall: float) -> int:
    """At most: where only the best are saved, every evaluation is taken to be the best so far.

    Args:
        step, evaluation: seconds of each.
        stall: seconds that steps wait for one.
    """
    if plan.max_iters == 0 or plan.eval_only:
        return 0
    between = evaluations(plan) - 2  # neither before the first step nor at the end
    if plan.snapshot_interval:
        each = plan.max_iters // plan.snapshot_interval
        also = plan.max_iters // lcm(plan.snapshot_interval, plan.eval_interval)
        between += max(0, each - also)
    if minutes := minutes_between(plan.checkpoint_minutes, stall):
        seconds = plan.max_iters * step + evaluations(plan) * evaluation
        apart = max(1, ceil(60 * minutes / step)) * step  # only between steps
        between = max(between, int(seconds / apart))
    return 1 + max(0, between)


def _first_checkpoint(plan: Plan, step: float, evaluation: float) -> float | None:
    """Seconds after the start: the evaluation before the first step, then steps until one is due."""
    if plan.max_iters == 0 or plan.eval_only:
        return None
    due = min(plan.max_iters, plan.eval_interval, plan.snapshot_interval or plan.max_iters)
    seconds = evaluation + due * step + (evaluation if due in (plan.eval_interval, plan.max_iters) else 0.0)
    if minutes := minutes_between(plan.checkpoint_minutes, None):
        seconds = min(seconds, evaluation + max(60 * minutes, step))
    return seconds
