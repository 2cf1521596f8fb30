"""run_YYYYMMDD_HHMMSS.json: the run so far as one JSON object, folded from metrics.jsonl.

Only lines that are new since the last fold are read. A long run stays small, here and on disk: of iterations,
evaluations and checkpoints each, at most thinned.LIMIT are listed, and every second one goes when there would be more. The
complete record is metrics.jsonl.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from gptmill.durable import replace
from gptmill.events import Event, Notice, RunDone, StepDone, Stopped
from gptmill.plain import lines_of, open_plain
from gptmill.track.jsonl import METRICS, parse_line
from gptmill.track.meters import WARMUP_STEPS
from gptmill.track.records import PARTS, is_met, without_nan
from gptmill.track.thinned import Thinned


class FoldedLog:
    """Writes the file every ``save_interval`` steps and at the end; give it events after the recorder of metrics.jsonl.

    Its name is the time of the run's first line, so a resumed run goes on with the same file.

    Args:
        log_interval: steps between those that are listed.
        about: ``config``, ``startup_info`` and ``metadata`` of this process.
    """

    def __init__(self, run_dir: Path, *, log_interval: int, save_interval: int, about: dict[str, Any]) -> None:
        self._run_dir = run_dir
        self._log_interval, self._save_interval = log_interval, save_interval
        self._about = about
        self._offset = 0  # of metrics.jsonl, folded so far [bytes]
        self._failed = False
        self._run = FoldedRun(log_interval)

    def __call__(self, event: Event) -> Iterable[Event]:
        """Fold when it is time. A full disk is said once and never stops a run."""
        due = isinstance(event, StepDone) and event.iter % self._save_interval == 0
        if not due and not isinstance(event, RunDone | Stopped):
            return []
        try:
            self._fold()
        except OSError as error:
            if self._failed:
                return []
            self._failed = True
            says = f"{self._run_dir}/run_*.json: {error.strerror}; training goes on, it is written when it can be"
            return [Notice(event.iter, says)]
        self._failed = False
        return []

    def close(self) -> None:
        """Also a run that failed is told to its end."""
        with contextlib.suppress(OSError):
            self._fold()

    def _fold(self) -> None:
        with open_plain(self._run_dir / METRICS) as file:
            began = file.seek(self._offset)
            for line in lines_of(file):
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                if (fields := parse_line(line)) is not None:
                    self._run.add(fields)
        if (name := self._run.name) and (self._offset > began or self._failed):
            replace(self._run_dir / f"{name}.json", self._run.text(self._about).encode(), sync=False)


class FoldedRun:
    """What the records of metrics.jsonl add up to. A run_started at step i forgets what was listed beyond i."""

    def __init__(self, log_interval: int) -> None:
        self.name: str | None = None
        self._log_interval = log_interval
        self._iterations, self._evals, self._checkpoints = Thinned(), Thinned(), Thinned()
        self._start_time: str | None = None
        self._end_time: str | None = None
        self._began_at = 0  # step at which the present process began
        self._last: dict[str, Any] = {"iter": 0, "loss": None, "lr": None}
        self._evaluated: tuple[int, Any] = (-1, None)  # step and loss of the latest evaluation
        self._bests: list[tuple[int, float]] = []  # evaluations that were the best so far

    def add(self, fields: dict[str, Any]) -> None:
        """Take one record; what a damaged line lacks is null."""
        step, time = fields["iter"], fields.get("time")
        if self.name is None and isinstance(time, str):
            self._start_time, self.name = time, run_name(time)
        match fields["event"]:
            case "run_started":
                self._began_at, self._end_time = step, None
                for listed in (self._iterations, self._evals, self._checkpoints):
                    listed.forget_after(step)
                self._bests = [best for best in self._bests if best[0] <= step]
            case "step_done":
                self._last = fields
                if is_met(fields):
                    self._bests.clear()
                if step % self._log_interval == 0:
                    self._add_iteration(fields)
            case "eval_done":
                known = {key: fields.get(key) for key in ("train_loss", "val_loss", "perplexity")}
                known |= {key: fields[key] for key in PARTS if key in fields}
                self._evals.add(step, {"iter": step, **known, "timestamp": time, "lr": self._last.get("lr")})
                loss = fields.get("val_loss")
                self._evaluated = (step, loss)
                if isinstance(loss, int | float) and (not self._bests or loss < self._bests[-1][1]):
                    self._bests.append((step, loss))
            case "checkpoint_saved":
                loss = self._evaluated[1] if self._evaluated[0] == step else None
                path = fields.get("path")
                self._checkpoints.add(step, {"iter": step, "val_loss": loss, "path": path, "timestamp": time})
            case "run_done" | "stopped":
                self._end_time = time

    def text(self, about: dict[str, Any]) -> str:
        """The file's content."""
        members = {
            "run_name": json.dumps(self.name),
            "start_time": json.dumps(self._start_time),
            "config": json.dumps(about["config"], allow_nan=False),
            "startup_info": json.dumps(about["startup_info"], allow_nan=False),
            "training_iterations": self._iterations.text(),
            "eval_steps": self._evals.text(),
            "checkpoints": self._checkpoints.text(),
            "metadata": json.dumps({**about["metadata"], "iterations_listed_every": self._every()}, allow_nan=False),
            "end_time": json.dumps(self._end_time),
            "summary": json.dumps(self._summary(), allow_nan=False),
        }
        return "{\n" + ",\n".join(f'"{name}": {value}' for name, value in members.items()) + "\n}\n"

    def _add_iteration(self, fields: dict[str, Any]) -> None:
        kept = (
            "iter",
            "loss",
            "time_ms",
            "lr",
            "grad_norm",
            "tokens_per_second",
            "loss_variance",
            "mfu",
            "memory",
            "sparsity",
        )
        entry = {key: fields[key] for key in (*kept, *PARTS) if key in fields}
        if isinstance(gradients := fields.get("gradients"), dict):  # the layers' own are in metrics.jsonl
            entry["gradients"] = {key: value for key, value in gradients.items() if key != "layers"}
        measured = fields.get("mfu")
        warm = fields["iter"] > self._began_at + WARMUP_STEPS
        self._iterations.add(
            fields["iter"],
            {**entry, "timestamp": fields.get("time")},
            time_ms=_number(fields.get("time_ms")) if warm else None,
            mfu=_number(measured.get("mfu")) if isinstance(measured, dict) else None,
        )

    def _every(self) -> int:
        return self._log_interval * self._iterations.stride

    def _summary(self) -> dict[str, Any]:
        """Averages are over the listed iterations, without those in which a process warms up."""
        summary = {
            "total_iterations": self._last["iter"],
            "final_iter": self._last["iter"],
            "final_train_loss": self._last.get("loss"),
            "best_val_loss": self._bests[-1][1] if self._bests else None,
            "avg_time_ms": mean(entry.time_ms for entry in self._iterations.entries),
            "avg_mfu": mean(entry.mfu for entry in self._iterations.entries),
            "total_eval_steps": self._evals.total,
            "total_checkpoints": self._checkpoints.total,
        }
        return without_nan(summary)


def run_name(time: str) -> str | None:
    """'2025-01-03T14:30:22.500+00:00' -> 'run_20250103_143022'."""
    try:
        return f"run_{datetime.fromisoformat(time):%Y%m%d_%H%M%S}"
    except ValueError:
        return None


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
