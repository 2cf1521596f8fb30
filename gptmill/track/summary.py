"""The recorder behind ``train --json``: it adds up what the run did, over every process that worked on it."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from array import array
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from gptmill.events import Event, StepDone
from gptmill.track.jsonl import read_events
from gptmill.track.ranks import RankTimes
from gptmill.track.records import is_met, record
from gptmill.track.walltime import WallTime

LARGEST_GAP = 1_000_000  # missing step records; a line that claims more was damaged


def peak_host_memory() -> int:
    """Largest resident size of this process so far [bytes].

    Linux tells it in /proc; getrusage, asked elsewhere, may tell that of the larger process which started this one.
    """
    status = Path("/proc/self/status")
    told = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE) if status.exists() else None
    if told:
        return int(told[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> None:
    """Count the largest resident size anew, from what is held now: Linux can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Summary:
    """Folds events into one dict; starts from what metrics.jsonl already tells of earlier processes.

    Args:
        unigram_entropy: loss on the validation tokens by token frequencies alone [nats/token]; a model that learns beats it.
        weights_sha256: called when the summary is asked for.
        peak_memory: bytes; the device's where there is one, else the process's.
        pruning: how much is pruned, of all and of each layer; None where the run does not prune.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        params: int,
        flops_per_token: int,
        unigram_entropy: float,
        weights_sha256: Callable[[], str | None],
        peak_memory: Callable[[], int] = peak_host_memory,
        pruning: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        self._run_dir = run_dir
        self._fixed = {"params": params, "flops_per_token": flops_per_token, "unigram_entropy": unigram_entropy}
        self._weights_sha256 = weights_sha256
        self._peak_memory, self._pruning = peak_memory, pruning
        self._result: dict[str, Any] | None = None  # asked for twice, at RunDone and by --json: the answer is one
        self._fold, self._wall, self._ranks = Fold(), WallTime(), RankTimes()
        for fields in read_events(run_dir):
            self._add(fields)

    def __call__(self, event: Event) -> Iterable[Event]:
        if isinstance(event, StepDone):  # these three are large, and nothing here asks for them
            event = replace(event, memory=None, gradients=None, weights=None)
        fields = record(event)
        if fields is not None:
            self._add({**fields, "time": datetime.now(UTC).isoformat(timespec="milliseconds")})
        self._result = None
        return []

    def result(self) -> dict[str, Any]:
        """The contract's keys; a number that is not known (no evaluation, no step) is None."""
        if self._result is not None:
            return self._result
        fold, wall = self._fold, self._wall
        best, pruning = fold.best_val_loss, self._pruning()
        self._result = {
            "run_dir": str(self._run_dir),
            "iters": fold.iters,
            "tokens": fold.tokens,
            "seconds": fold.seconds,
            "tokens_per_second": fold.tokens_per_second,
            "mfu": fold.mfu,
            "peak_memory": self._peak_memory(),
            "final_train_loss": fold.final_train_loss,
            "best_val_loss": best,
            "perplexity": math.exp(best) if best is not None and best < 700 else None,
            "stopped": fold.stopped,
            "weights_sha256": self._weights_sha256(),
            **self._fixed,
            "wall_seconds": wall.seconds,
            "goodput": min(1.0, fold.seconds / wall.seconds) if wall.seconds else None,
            "time_split": wall.split(),
            "sparsity": pruning["pruned"] / pruning["prunable"] if pruning else None,
            "pruning": pruning,
            "ranks": self._ranks.result(),
        }
        return self._result

    def _add(self, fields: dict[str, Any]) -> None:
        self._fold.add(fields)
        self._wall.add(fields)
        self._ranks.add(fields)


class Fold:
    """What a sequence of records adds up to. A run_started at step i forgets every step after i: they come again."""

    def __init__(self) -> None:
        # Step i + 1 is at [i], in 8 bytes each, for runs of millions of steps; NaN where a record was lost.
        self._seconds, self._tokens, self._losses = array("d"), array("d"), array("d")
        self._mfu = array("d")  # NaN where it is not known
        self._first_steps: set[int] = set()  # indices: the first step of each process
        self._evals: dict[int, float] = {}
        self.stopped: str | None = None

    def add(self, fields: dict[str, Any]) -> None:
        """Take one record; what a damaged line lacks counts as unknown."""
        match fields["event"]:
            case "run_started":
                self._forget_from(fields["iter"])
                self._first_steps.add(fields["iter"])
                self.stopped = None
            case "step_done":
                self._add_step(fields)
            case "eval_done" if not math.isnan(_number(fields.get("val_loss"))):
                step, loss = fields["iter"], fields["val_loss"]  # again at a step: under --eval_only, or other settings
                self._evals[step] = min(loss, self._evals.get(step, loss))
            case "run_done":
                self.stopped = fields.get("stopped")

    @property
    def iters(self) -> int:
        return len(self._seconds)

    @property
    def tokens(self) -> int:
        return int(sum(n for n in self._tokens if not math.isnan(n)))

    @property
    def seconds(self) -> float:
        """Training time. The first step of a process may compile, so it counts no more than a median step."""
        typical = median([self._seconds[i] for i in self._steady()] or [0.0])
        return sum(
            min(seconds, typical) if i in self._first_steps else seconds
            for i, seconds in enumerate(self._seconds)
            if not math.isnan(seconds)
        )

    @property
    def tokens_per_second(self) -> float | None:
        speeds = [self._tokens[i] / self._seconds[i] for i in self._steady() if self._seconds[i] > 0]
        return median(speeds) if speeds else None

    @property
    def mfu(self) -> float | None:
        """Median over the steps after warm-up; None on a device without a known peak."""
        known = [mfu for mfu in self._mfu if not math.isnan(mfu)]
        return median(known) if known else None

    @property
    def final_train_loss(self) -> float | None:
        return self._losses[-1] if self._losses and not math.isnan(self._losses[-1]) else None

    @property
    def best_val_loss(self) -> float | None:
        return min(self._evals.values(), default=None)

    def _add_step(self, fields: dict[str, Any]) -> None:
        index = fields["iter"] - 1
        if 0 <= index < self.iters:
            self._forget_from(index)
        lost = index - self.iters
        if index < 0 or lost > LARGEST_GAP:
            return
        if is_met(fields):
            self._evals.clear()
        for column, key, unit in (
            (self._seconds, "time_ms", 1e3),
            (self._tokens, "tokens", 1),
            (self._losses, "loss", 1),
        ):
            column.extend([math.nan] * lost)
            column.append(_number(fields.get(key)) / unit)
        measured = fields.get("mfu")
        self._mfu.extend([math.nan] * lost)
        self._mfu.append(_number(measured.get("mfu") if isinstance(measured, dict) else None))

    def _forget_from(self, index: int) -> None:
        """Drop the steps at ``index`` and beyond; an evaluation at iter i comes before step i + 1, which is at [i]."""
        for column in (self._seconds, self._tokens, self._losses, self._mfu):
            del column[index:]
        self._first_steps = {i for i in self._first_steps if i < index}
        self._evals = {i: loss for i, loss in self._evals.items() if i <= index}

    def _steady(self) -> list[int]:
        """Indices of steps that are not the first of a process, or of all when there are no others."""
        both = enumerate(zip(self._seconds, self._tokens))
        known = [i for i, (seconds, tokens) in both if not math.isnan(seconds + tokens)]
        return [i for i in known if i not in self._first_steps] or known


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
