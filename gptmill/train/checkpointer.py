"""The recorder that saves: it answers CheckpointDue with CheckpointSaved, or with a Notice when the disk refuses."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gptmill.errors import GptmillError
from gptmill.events import CheckpointDue, CheckpointSaved, Event, Notice, RunDone, RunStarted
from gptmill.train import retention
from gptmill.train.checkpoint import SavedCheckpoint, save
from gptmill.train.manifest import step_name
from gptmill.train.state import TrainState


class Checkpointer:
    """Saves when the loop says the state is consistent, then retires old checkpoints.

    Args:
        facts: recorded in every manifest (facts.py).
        keep: newest checkpoints kept besides the best; 0 keeps all, 1 acts as 2 (see retention.py).
        delete: at the end of the run, all but the best and the last.
    """

    def __init__(
        self, run_dir: Path, state: TrainState, facts: dict[str, Any], keep: int, delete: bool = False
    ) -> None:
        self.run_dir = run_dir
        self.state = state
        self.facts = facts
        self.keep = keep
        self.delete = delete
        self._saved_iter: int | None = None  # the step whose checkpoint is known to be on the disk

    def __call__(self, event: Event) -> Iterable[Event]:
        """Return what came of the event.

        Raises:
            GptmillError: the last checkpoint of the run (reason ``stop`` or ``end``) could not be written.
        """
        try:
            if isinstance(event, RunStarted):
                return self._tidy(event.iter)
            if isinstance(event, CheckpointDue):
                return self._save(event)
            if isinstance(event, RunDone) and self.delete:
                retention.keep_best_and_last(self.run_dir)
        except OSError as error:  # saving is done or was not asked for; only housekeeping failed
            return [Notice(event.iter, f"{error.filename or self.run_dir}: {error.strerror}")]
        return []

    def _tidy(self, iter: int) -> list[Event]:
        if (self.run_dir / "checkpoints" / step_name(iter)).exists():
            self._saved_iter = iter  # resumed from it
        n = retention.sweep(self.run_dir)
        retention.repair_best(self.run_dir)
        return [Notice(iter, f"removed {n} half-written checkpoint(s) of a run that was killed")] if n else []

    def _save(self, due: CheckpointDue) -> list[Event]:
        assert due.iter == self.state.iter, f"asked to save step {due.iter}, but the state is at {self.state.iter}"
        if due.iter == self._saved_iter and not due.best:
            return []
        events: list[Event] = []
        try:
            saved = self._save_making_room(due, events)
        except GptmillError as error:
            if due.reason in ("stop", "end"):
                raise
            return [*events, *(Notice(due.iter, f"{problem}; training goes on") for problem in error.problems)]
        self._saved_iter = due.iter
        events.append(
            CheckpointSaved(
                due.iter,
                path=str(saved.path.relative_to(self.run_dir)),
                reason=due.reason,
                best=due.best,
                seconds=saved.seconds,
                n_bytes=saved.n_bytes,
            )
        )
        try:
            if due.best:
                retention.mark_best(self.run_dir, saved.path)
            retention.retire(self.run_dir, self.keep, proven=saved.path)
        except OSError as error:
            events.append(Notice(due.iter, f"{error.filename or self.run_dir}: {error.strerror}; training goes on"))
        return events

    def _save_making_room(self, due: CheckpointDue, events: list[Event]) -> SavedCheckpoint:
        """Save; when the disk is full, give up all but the two newest good ones and try once more."""
        try:
            return save(self.run_dir, self.state, self.facts, best=due.best)
        except GptmillError as error:
            full = isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)
            removed = retention.retire(self.run_dir, keep=2) if full and self.keep else []
            if not removed:
                raise
        names = ", ".join(folder.name for folder in removed)
        events.append(Notice(due.iter, f"{self.run_dir}: the disk is full: removed {names} to make room"))
        return save(self.run_dir, self.state, self.facts, best=due.best)
