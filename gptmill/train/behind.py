"""One thing at a time that is done in the background, while training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class Behind(Generic[T]):
    """A thread for one piece of work; what it came to is asked for later, by the thread that gave it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._work: Future[T] | None = None
        self._began, self._patience = 0.0, 0.0

    def start(self, work: Callable[[], T], patience: float = float("inf")) -> None:
        """
        Args:
            patience: seconds after which it is overdue.
        """
        assert self._work is None, "one at a time"
        self._began, self._patience = time.perf_counter(), patience
        self._work = self._pool.submit(_apart, work)

    @property
    def is_done(self) -> bool:
        return self._work is not None and self._work.done()

    @property
    def seconds(self) -> float:
        """Since the work was given."""
        return time.perf_counter() - self._began

    @property
    def is_overdue(self) -> bool:
        return self._work is not None and not self._work.done() and self.seconds > self._patience

    def wait(self) -> bool:
        """Wait until the work is done, or overdue; whether it is done, or there is none."""
        if self._work is None:
            return True
        return bool(wait_for([self._work], max(0.0, self._patience - self.seconds)).done)

    def finish(self) -> T | None:
        """Wait for the work and return what came of it, or raise what it raised; None when there is none."""
        work, self._work = self._work, None
        return work.result() if work else None

    def close(self) -> None:
        self._pool.shutdown()


def _apart(work: Callable[[], T]) -> T:
    """On a GPU in a stream of its own, so that copies do not queue up with the steps."""
    if not torch.cuda.is_available():
        return work()
    with torch.cuda.stream(torch.cuda.Stream()):
        return work()
