"""Looks after one training process: what every step cost, how its layers are, what is wrong, and what follows from that.

The step calls it at fixed places and does what it approves; the loop passes on what it has to say. Looking changes no
number of the training. What decides about weights lies in TrainState, so a resumed run decides the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from gptmill.errors import Diverged
from gptmill.events import Alarm, Event, RunStarted, StepDone
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.types import Plan
from gptmill.targets import IGNORE, ids_of
from gptmill.train import layers
from gptmill.train.agreement import others_disagree
from gptmill.train.batch_checks import BatchChecks
from gptmill.train.device import memory_now
from gptmill.train.guard import check_scale, judge
from gptmill.train.health import WeightSample, gradient_health
from gptmill.train.layers import LayerFinding
from gptmill.train.penalty import loss_parts
from gptmill.train.snapshot import Snapshot
from gptmill.train.state import TrainState
from gptmill.train.stragglers import Pace, Stragglers
from gptmill.train.timing import Stopwatch, by_activity

QUIET = 100  # steps without it, after which something is said again
OVERFLOWS = 8  # in a row: a scaler that starts at 65,536 needs a few to find its place


class Watch:
    """
    Args:
        engine: where there may be other processes, whose pace is compared with that of this one.
    """

    def __init__(self, plan: Plan, state: TrainState, engine: Single | None = None) -> None:
        self.clock = Stopwatch(plan.device)
        self._plan, self._state = plan, state
        self._batches = BatchChecks(plan)
        self._sample = WeightSample(state.model, plan.weight_monitor_sample_size)
        self._movement = layers.Movement(state.model)
        self._trained = [p for p in state.model.parameters() if p.requires_grad]
        self._said: dict[tuple[str, str | None], int] = {}  # when something was last so
        self._alarms: list[Alarm] = []
        self._overflows = 0
        self._stragglers = Stragglers(plan, engine or Single(Place()))
        self._snapshot = Snapshot(state) if "rollback" in (plan.on_spike, plan.on_nonfinite) else None

    def begin(self) -> None:
        """A step begins. Sequences that an earlier one was kept from are not read again."""
        self._began = time.perf_counter()
        self._state.sequences = self._state.recent.next_sequence(self._state.sequences)
        self._misaligned: list[tuple[int, int, Tensor]] = []
        self._gradients: dict[str, Any] | None = None
        self._before: np.ndarray | None = None
        self._stragglers.begin()
        self.clock.start()

    def batch(self, first: int, tokens_BS: np.ndarray, x_BT: Tensor, y_BT: Tensor) -> None:
        """The sequences from ``first`` on, as read and as the model will see them."""
        for found in self._batches.look(first, ids_of(tokens_BS)):
            self._alarm(found.kind, found.says, sequences=found.sequences)
        self._misaligned.append(
            (first, len(x_BT), ((x_BT[:, 1:] != y_BT[:, :-1]) & (y_BT[:, :-1] != IGNORE)).any())
        )  # read when the device is waited for

    def gradients(self) -> None:
        """All gradients are there, unscaled and not yet clipped."""
        if any(p.grad is None for p in self._trained):
            self._findings(layers.detached(self._state.model))
        if self._due(self._plan.gradient_log_interval) and (says := others_disagree(self._state.model)):
            says += ": a device or its memory computes wrongly; go on without it from a checkpoint with --resume"
            self._pass_on(Alarm(self._state.iter + 1, "weights_differ", says, action="stop"))
        if self._plan.gradient_monitor and self._due(self._plan.gradient_log_interval):
            self._gradients = gradient_health(self._state.model) or None
            if self._gradients:
                self._findings(layers.dead(self._gradients, self._state.model))
            self._findings(self._movement.fixed(self._plan.freeze))

    def approves(self, losses: Tensor, grad_norm: Tensor) -> bool:
        """Whether the update should be taken. Waits for the device.

        Args:
            losses: the loss, and with a penalty cross-entropy, penalty and largest probability.
        """
        self.clock.lap("clip")
        (self._loss, *self._parts), self._grad_norm = losses.tolist(), grad_norm.item()
        self.clock.synchronized()
        for first, count, misaligned in self._misaligned:
            if misaligned:
                says = f"targets are not the inputs one to the left (training sequences from {first} on)"
                self._alarm("shuffled_labels", says, sequences=(first, first + count - 1))
        plan, state = self._plan, self._state
        self._findings(layers.vanishing(self._grad_norm, plan, state.optimizer, plan.params))
        troubles = judge(state, plan, self._loss, self._grad_norm, self._snapshot.returns if self._snapshot else 0)
        for alarm in troubles:
            self._pass_on(alarm)
        if any(alarm.action != "warn" for alarm in troubles):
            return False
        if self._weights_due() or self._movement.suspects or self._gradients:
            self._before = self._sample.read()
            self._movement.before_update()
        return True

    def finish(self, lr: float, updated: bool, overflowed: bool) -> StepDone:
        """The step is over; the state counts it."""
        plan, state = self._plan, self._state
        first, last = state.sequences, state.sequences + plan.effective_batch_size - 1
        weights = self._look_at_weights(lr) if updated and not overflowed else None
        if state.scaler:
            check_scale(state.scaler.get_scale(), state)
            self._overflows = self._overflows + 1 if overflowed else 0
            if self._overflows >= OVERFLOWS:
                says = f"{self._overflows} float16 overflows in a row: nothing is learned; try --dtype=bfloat16"
                self._alarm("fp16_overflow", says, sequences=(first, last))
        if not updated:
            state.recent.passed_over(first, last)
        elif not overflowed:
            state.recent.learned(self._loss, self._grad_norm)
        state.iter += 1
        state.sequences += plan.effective_batch_size
        state.tokens += plan.tokens_per_iter
        seconds, laps = time.perf_counter() - self._began, self.clock.read()
        self._stragglers.finish(laps, seconds)
        return StepDone(
            state.iter,
            loss=self._loss,
            lr=lr,
            grad_norm=self._grad_norm,
            tokens=plan.tokens_per_iter,
            seconds=seconds,
            skipped=overflowed or not updated,
            times=by_activity(laps),
            memory=memory_now(plan.device),
            gradients=self._gradients,
            weights=weights,
            **loss_parts(plan, self._parts or [self._loss]),
            sparsity=state.pruner.sparsity if state.pruner else None,
            pruning=state.pruner.news() if state.pruner else None,
        )

    def keep(self) -> None:
        """Remember the state as one to go back to, unless something in it is no number."""
        if self._snapshot is not None:
            snapshot = Snapshot(self._state)
            if snapshot.finite:
                self._snapshot = snapshot

    @property
    def has_news(self) -> bool:
        """Whether this process knows what the others do not: what is wrong with its batches, or what its steps took."""
        return bool(self._alarms) or self._stragglers.is_due

    def events(self, share: Callable[[list[Any]], list[Any]] = lambda news: news) -> Iterator[Event]:
        """What the last step gave rise to; going back, where that is what follows, happens here.

        Args:
            share: adds what other processes have found.

        Raises:
            Diverged: the run must stop; the newest checkpoint is from before the step.
        """
        told = share([*self._alarms, *([self._stragglers.mine()] if self._stragglers.is_due else [])])
        alarms, self._alarms = [news for news in told if isinstance(news, Alarm)], []
        if paces := [news for news in told if isinstance(news, Pace)]:
            yield from self._stragglers.compare(self._state.iter, paces)
        yield from alarms
        for alarm in alarms:
            if alarm.action == "stop":
                raise Diverged(f"step {alarm.iter}: {alarm.says}")
        if any(alarm.action == "rollback" for alarm in alarms) and self._snapshot is not None:
            self._snapshot.restore(self._state, past=self._state.recent.passed[-1])
            yield RunStarted(self._state.iter, self._plan.max_iters, self._plan.tokens_per_iter)

    def _look_at_weights(self, lr: float) -> dict[str, Any] | None:
        if self._before is None:
            return None
        after = self._sample.read()
        unmoved = (
            self._sample.unmoved(self._before, after) if lr >= layers.NEAR_PEAK * self._plan.learning_rate > 0 else []
        )
        self._findings(self._movement.after_update(unmoved))
        return self._sample.health(self._before, after) if self._weights_due() else None

    def _weights_due(self) -> bool:
        return self._plan.weight_monitor and self._due(self._plan.weight_monitor_interval)

    def _due(self, interval: int) -> bool:
        return (self._state.iter + 1) % interval == 0

    def _findings(self, findings: list[LayerFinding]) -> None:
        for found in findings:
            self._alarm(found.kind, found.says, layer=found.layer)

    def _alarm(self, kind: str, says: str, layer: str | None = None, sequences: tuple[int, int] | None = None) -> None:
        self._pass_on(Alarm(self._state.iter + 1, kind, says, layer, sequences))

    def _pass_on(self, alarm: Alarm) -> None:
        """Say it, unless it was so a moment ago and all there is to it is saying it."""
        key, quiet = (alarm.kind, alarm.layer), QUIET + 2 * self._plan.gradient_log_interval
        if alarm.kind.endswith("_spike"):
            key = ("spike", None)
        if alarm.action != "warn" or alarm.iter - self._said.get(key, -quiet) >= quiet:
            self._alarms.append(alarm)
        self._said[key] = alarm.iter
