"""What a run tells the world. The loop yields these facts; recorders (console, JSONL, checkpointer, ...) receive them.

``iter`` always counts optimizer steps taken so far: 0 before the first update, max_iters at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    iter: int


@dataclass(frozen=True)
class RunStarted(Event):
    """The first event of every process: ``iter`` is 0, or the step a resumed run continues from."""

    max_iters: int
    tokens_per_iter: int


@dataclass(frozen=True)
class StepDone(Event):
    """One optimizer step.

    Args:
        loss: mean over all micro-batches and ranks [nats/token].
        lr: the rate this step used.
        grad_norm: global L2 norm, after unscaling, before clipping.
        tokens: tokens in this step over all ranks.
        seconds: wall time of the step, data included.
        skipped: nothing was updated: float16 overflowed, or the batch was one to skip.
        times: seconds of this step by activity: data, compute (forward and backward), communication, optimizer.
        memory: GB of the device now and at most (allocated_gb, reserved_gb, max_allocated_gb, max_reserved_gb), and
            host_gb of this process.
        gradients: on steps that looked at them, read after unscaling and before clipping; None on others.
        weights: on steps that looked at them; None on others.
        mfu: what these tokens in these seconds mean on this device; ``track/meters.py`` adds it.
        loss_variance: over the last steps of this process, this one included; ``track/meters.py`` adds it.
        ce_loss: cross-entropy alone, where penalty_type is set; so are penalty and avg_max_prob, unless its weight is 0.
        sparsity: share of the prunable weights that are zero now; None where the run does not prune.
        pruning: on steps that pruned more: how many are, of how many, and the share in every layer.
    """

    loss: float
    lr: float
    grad_norm: float
    tokens: int
    seconds: float
    skipped: bool = False
    times: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] | None = None
    gradients: dict[str, Any] | None = None
    weights: dict[str, Any] | None = None
    mfu: dict[str, Any] | None = None
    loss_variance: float | None = None
    ce_loss: float | None = None
    penalty: float | None = None
    avg_max_prob: float | None = None
    sparsity: float | None = None
    pruning: dict[str, Any] | None = None


@dataclass(frozen=True)
class RanksTimed(Event):
    """What each of several processes took alone in the steps since the last of these, before it waited for the others.

    Args:
        steps: how many.
        hosts, p50_ms, p95_ms: of each rank.
    """

    steps: int
    hosts: list[str]
    p50_ms: list[float]
    p95_ms: list[float]


@dataclass(frozen=True)
class Alarm(Event):
    """Something about the training looks wrong.

    Args:
        kind: what it is, in a word or two joined by underscores: loss_spike, dead_layer, ...
        says: one sentence for a person, naming the layer or the batch.
        layer: the parameter or block it is about, or None.
        sequences: first and last training sequence of the step, or None.
        action: what was done: warn, skip, rollback or stop.
    """

    kind: str
    says: str
    layer: str | None = None
    sequences: tuple[int, int] | None = None
    action: str = "warn"


@dataclass(frozen=True)
class EvalDone(Event):
    """Losses on the fixed evaluation batches [nats/token]; ``best`` when val_loss is the lowest so far.

    Both are cross-entropy alone, so that runs compare. Where penalty_type is set, ce_loss is val_loss again; penalty and
    avg_max_prob are of the validation batches, unless its weight is 0.
    """

    train_loss: float
    val_loss: float
    best: bool
    seconds: float
    ce_loss: float | None = None
    penalty: float | None = None
    avg_max_prob: float | None = None


@dataclass(frozen=True)
class CheckpointDue(Event):
    """The state is consistent now and ought to be saved; ``reason`` is eval, snapshot, time, stop or end."""

    reason: str
    best: bool = False


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint was committed and read back.

    Args:
        path: relative to the run folder.
        seconds: that training waited for it.
        seconds_behind: that writing it took while training went on.
    """

    path: str
    reason: str
    best: bool
    seconds: float
    n_bytes: int
    seconds_behind: float = 0.0


@dataclass(frozen=True)
class Notice(Event):
    """One sentence for a person: something was decided, repaired or left out."""

    says: str


@dataclass(frozen=True)
class FirstSteps(Notice):
    """What the first steps of a process took, beside what was planned; None is what no plan tells.

    Args:
        memory: bytes held at most so far; planned_memory: where the device is the host, with what Python holds.
        step_seconds: of a usual step.
        planned_seconds: of the whole run, from the command to its end.
        basis: what the planned times rest on.
    """

    memory: int
    planned_memory: int | None
    step_seconds: float
    planned_step_seconds: float | None
    planned_seconds: float | None
    basis: str | None


@dataclass(frozen=True)
class Samples(Event):
    """Text the model wrote at this step: ``prompt`` and ``text`` of each, the text without its prompt."""

    samples: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Stopped(Event):
    """The run ends early on purpose; ``signal`` is the signal number that asked for it."""

    signal: int


@dataclass(frozen=True)
class Interrupted(Event):
    """The processes of a supervised run were lost, or silent and ended; what supervises them records it.

    Args:
        kind: died or hung.
        says: what was seen, in a sentence.
        sequences: first and last training sequence of the step that was not finished, or None.
        action: restart or stop.
    """

    kind: str
    says: str
    sequences: tuple[int, int] | None
    action: str


@dataclass(frozen=True)
class PlanChanged(Event):
    """A resumed run goes on by another plan than it had.

    Args:
        changes: [before, now] by the plan's names.
    """

    changes: dict[str, list[Any]]


@dataclass(frozen=True)
class RunDone(Event):
    """The run is complete and saved: all of max_iters steps are taken, or early stopping ended it.

    Args:
        stopped: why it ended before max_iters, or None.
        early_stop: what the early stopping rules remember (train/early_stop.py); decides whether it is still complete
            when it is asked to go on under other rules.
    """

    best_val_loss: float | None
    stopped: str | None = None
    early_stop: dict[str, Any] = field(default_factory=dict)
