"""The training loop: a generator of facts. It prints nothing and writes nothing; recorders do that with what it yields.

The run is whatever the consumer lets happen: between two events the state is consistent, so a checkpoint is taken by
saving it when CheckpointDue arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from gptmill.events import CheckpointDue, Event, Notice, RunDone, RunStarted, Stopped
from gptmill.parallel.single import Single, Stop
from gptmill.plan.types import Plan
from gptmill.train.cadence import Cadence
from gptmill.train.early_stop import stop_reason
from gptmill.train.evaluate import evaluate
from gptmill.train.memory import fitting
from gptmill.train.state import TrainState
from gptmill.train.step import Take, train_step
from gptmill.train.watch import Watch


def run(
    plan: Plan,
    state: TrainState,
    engine: Single,
    *,
    take: Take,
    eval_windows: dict[str, np.ndarray],
    stop: Stop,
) -> Iterator[Event]:
    """Train from ``state.iter`` until max_iters updates are taken, early stopping ends it, or it is asked to stop.

    Args:
        take: training windows by global sequence index.
        eval_windows: fixed windows [N, T + 1] of the 'train' and 'val' splits.
    """
    forward, watch, stop = engine.wrap(state.model, plan), Watch(plan, state, engine), engine.listen(stop)
    yield RunStarted(state.iter, plan.max_iters, plan.tokens_per_iter)
    cadence = Cadence(plan, engine, state.iter)
    while True:
        done = state.iter >= plan.max_iters or plan.eval_only
        evaluated = None
        due = plan.eval_only or ((done or plan.evaluates_after(state.iter)) and state.evaluated != state.iter)
        if due and stop.signal is None:
            plan, evaluated, says = fitting(
                plan, lambda smaller: evaluate(smaller, state, engine, forward, eval_windows, stop)
            )
            yield from (Notice(state.iter, sentence) for sentence in says)
            if evaluated:
                yield evaluated
        early = None if done else stop_reason(state.early_stop, plan)
        done = done or early is not None

        reason = cadence.reason(state.iter, evaluated, done, stop)
        if reason:
            yield CheckpointDue(state.iter, reason, best=evaluated is not None and evaluated.best)
            cadence.saved(state.iter)
            watch.keep()
        if stop.signal is not None and not (done and state.evaluated == state.iter):
            yield Stopped(state.iter, stop.signal)
            return
        if done:
            yield RunDone(state.iter, state.best_val_loss, early, asdict(state.early_stop))
            return

        plan, step, says = fitting(plan, lambda smaller: train_step(state, smaller, engine, forward, take, watch))
        yield from (Notice(state.iter, sentence) for sentence in says)
        yield step
        yield from watch.events(engine.share)
