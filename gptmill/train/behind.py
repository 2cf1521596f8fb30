"""One thing at a time that is done in the background, while training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class Behind(Generic[T]):
    """A thread for one piece of work; what it came to is asked for later, by the thread that gave it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._work: Future[T] | None = None
        self.waited = 0.0  # seconds, in the last ``finish``

    def start(self, work: Callable[[], T]) -> None:
        assert self._work is None, "one at a time"
        self._work = self._pool.submit(_apart, work)

    @property
    def is_done(self) -> bool:
        return self._work is not None and self._work.done()

    def finish(self) -> T | None:
        """Wait for the work and return what came of it, or raise what it raised; None when there is none."""
        began = time.perf_counter()
        work, self._work = self._work, None
        found = work.result() if work else None
        self.waited = time.perf_counter() - began
        return found

    def close(self) -> None:
        self._pool.shutdown()


def _apart(work: Callable[[], T]) -> T:
    """On a GPU in a stream of its own, so that copies do not queue up with the steps."""
    if not torch.cuda.is_available():
        return work()
    with torch.cuda.stream(torch.cuda.Stream()):
        return work()
