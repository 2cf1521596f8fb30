"""The recorder that saves: it answers CheckpointDue with CheckpointSaved, or with a Notice when the disk refuses.

A large state is copied and written while training goes on; the answer then comes with a later event. Where the disk takes
far longer than usual, that is said, and nothing more is saved until it is through.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill import units
from gptmill.errors import GptmillError
from gptmill.events import CheckpointDue, CheckpointSaved, Event, Notice, RunDone, RunStarted
from gptmill.plan.saving import BEHIND
from gptmill.train import retention
from gptmill.train.behind import Behind
from gptmill.train.capture import Capture, capture, copied
from gptmill.train.checkpoint import SavedCheckpoint, commit
from gptmill.train.manifest import step_name
from gptmill.train.state import TrainState

if TYPE_CHECKING:
    from gptmill.train.shards import Company

TIMES = 10.0  # the longest that writing took so far, after which it is overdue ...
LEAST = 60.0  # seconds; and no sooner: other users make disks slow for a moment
SLOW = 100e6  # bytes per second of a disk that is no more than slow, while nothing was written yet


class Checkpointer:
    """Saves when the loop says the state is consistent, then retires old checkpoints.

    Args:
        facts: recorded in every manifest (facts.py).
        keep: newest checkpoints kept besides the best; 0 keeps all, 1 acts as 2 (see retention.py).
        delete: at the end of the run, all but the best and the last.
        company: the other processes, where the state is shared out.
    """

    def __init__(
        self,
        run_dir: Path,
        state: TrainState,
        facts: dict[str, Any],
        keep: int,
        delete: bool = False,
        company: Company | None = None,
    ) -> None:
        self.run_dir = run_dir
        self.state = state
        self.facts = facts
        self.keep = keep
        self.delete = delete
        self.company = company
        self._behind = Behind[list[Event]]()
        self._saved_iter: int | None = None  # the step whose checkpoint is known to be on the disk
        self._writing = 0  # the step whose checkpoint is being written in the background, or was last
        self._longest: float | None = None  # seconds that this took so far
        self._said_overdue = False

    def __call__(self, event: Event) -> Iterable[Event]:
        """Return what came of the event.

        Raises:
            GptmillError: the last checkpoint of the run (reason ``stop`` or ``end``) could not be written.
        """
        if isinstance(event, RunStarted):
            return self._tidy(event.iter)
        if isinstance(event, CheckpointDue):
            return self._save(event)
        if isinstance(event, RunDone):
            return self._settled() + (self._delete(event.iter) if self.delete else [])
        return self._settled() if self._behind.is_done else self._overdue(event.iter)

    def _delete(self, iter: int) -> list[Event]:
        return self._attempt(iter, "not all that was to go is gone", retention.keep_best_and_last)

    def _tidy(self, iter: int) -> list[Event]:
        if (self.run_dir / "checkpoints" / step_name(iter)).exists():
            self._saved_iter = iter  # resumed from it
        swept: list[int] = []
        events = self._attempt(iter, "what killed saves left stays", lambda run: swept.append(retention.sweep(run)))
        events += self._attempt(iter, "best may be out of date", retention.repair_best)
        n = sum(swept)
        found = [Notice(iter, f"removed {n} half-written checkpoint(s) of a run that was killed")] if n else []
        return [*found, *events]

    def _attempt(self, iter: int, failed: str, work: Callable[[Path], object]) -> list[Event]:
        """Do some housekeeping; training does not depend on it.

        Args:
            failed: what is so when the disk refuses.
        """
        try:
            work(self.run_dir)
        except OSError as error:
            return [Notice(iter, f"{self.run_dir / 'checkpoints'}: {error.strerror}: {failed}; training goes on")]
        return []

    def close(self) -> None:
        """Wait for what is still being written."""
        self._behind.close()

    def _save(self, due: CheckpointDue) -> list[Event]:
        assert due.iter == self.state.iter, f"asked to save step {due.iter}, but the state is at {self.state.iter}"
        began = time.perf_counter()
        if due.reason not in ("stop", "end") and not self._behind.wait():
            return self._skip(due)
        events = self._settled()
        known = due.iter == self._saved_iter and not due.best
        if self.company:
            self.company.begin(not known)
        if known:
            return events
        taken = capture(self.state)
        if not worth_copying(taken, due.reason):
            return events + self._commit(due, taken)
        taken = copied(taken)
        waited = time.perf_counter() - began
        patience = max(LEAST, TIMES * (self._longest or taken.n_bytes / SLOW))
        self._writing, self._said_overdue = due.iter, False
        self._behind.start(lambda: self._commit(due, taken, waited), patience)
        return events

    def _skip(self, due: CheckpointDue) -> list[Event]:
        """Training goes on without this checkpoint, for the one before it is overdue."""
        if self.company:
            self.company.begin(False)
        says = f"step {due.iter}: not saved: {step_name(self._writing)} is {self._still()}; training goes on"
        return [*self._overdue(due.iter), Notice(due.iter, says)]

    def _overdue(self, iter: int) -> list[Event]:
        """Said once of each that is."""
        if self._said_overdue or not self._behind.is_overdue:
            return []
        self._said_overdue = True
        path = self.run_dir / "checkpoints" / step_name(self._writing)
        usual = "" if self._longest is None else f", and the longest so far took {units.duration(self._longest)}"
        says = f"{self._still()}{usual}: the disk is slow or does not answer"
        return [Notice(iter, f"{path}: {says}; training goes on, and saves nothing more until it is there")]

    def _still(self) -> str:
        return f"still being written after {units.duration(self._behind.seconds)}"

    def _settled(self) -> list[Event]:
        """What came of the checkpoint that is being written, once it is."""
        return self._behind.finish() or []

    def _commit(self, due: CheckpointDue, taken: Capture, waited: float | None = None) -> list[Event]:
        """Write, mark, retire: all that happens after the state was taken.

        Args:
            waited: seconds that training did; None while it still waits.
        """
        events: list[Event] = []
        try:
            saved = self._save_making_room(due, taken, events)
        except GptmillError as error:
            if due.reason in ("stop", "end"):
                raise
            return [*events, *(Notice(due.iter, f"{problem}; training goes on") for problem in error.problems)]
        self._saved_iter = due.iter
        if waited is not None:
            self._longest = max(saved.seconds, self._longest or 0.0)
        events.append(
            CheckpointSaved(
                due.iter,
                path=str(saved.path.relative_to(self.run_dir)),
                reason=due.reason,
                best=due.best,
                seconds=saved.seconds if waited is None else waited,
                n_bytes=saved.n_bytes,
                seconds_behind=0.0 if waited is None else saved.seconds,
            )
        )
        if due.best:
            failed = f"best does not point to {saved.path.name}"
            events += self._attempt(due.iter, failed, lambda run: retention.mark_best(run, saved.path))
        retire = partial(retention.retire, keep=self.keep, proven=saved.path)
        return events + self._attempt(due.iter, "an old checkpoint stays", retire)

    def _save_making_room(self, due: CheckpointDue, taken: Capture, events: list[Event]) -> SavedCheckpoint:
        """Save; when the disk is full, give up all but the two newest good ones and try once more.

        Several processes that write together do not try again: the next checkpoint comes.
        """
        try:
            return commit(self.run_dir, taken, self.facts, best=due.best, company=self.company)
        except GptmillError as error:
            full = isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)
            removed: list[Path] = []
            if full and self.keep:
                with contextlib.suppress(OSError):  # a disk that is broken as well
                    removed = retention.retire(self.run_dir, keep=2)
            if not removed or self.company:
                raise
        names = ", ".join(folder.name for folder in removed)
        events.append(Notice(due.iter, f"{self.run_dir}: the disk is full: removed {names} to make room"))
        return commit(self.run_dir, taken, self.facts, best=due.best)


def worth_copying(taken: Capture, reason: str) -> bool:
    """Whether it is written in the background: not at the end, where nothing goes on, and not what takes no time."""
    return taken.n_bytes >= BEHIND and reason not in ("stop", "end")
