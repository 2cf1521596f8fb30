"""Turn SIGTERM, Ctrl-C and a lost terminal into a flag that the loop reads between two steps."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PATIENCE = 5.0


class StopOnSignal:
    """``with StopOnSignal() as stop:`` the first signal sets ``stop.signal``; a second one ends the process at once.

    Args:
        patient: one that follows within PATIENCE seconds is the same wish: torchrun passes on what the terminal has
            sent to every process already.

    A signal that was ignored before (nohup, a background job of a shell) stays ignored, and outside the main thread,
    where Python delivers no signals, nothing is changed.
    """

    def __init__(self, patient: bool = False) -> None:
        self.signal: int | None = None
        self._patience = PATIENCE if patient else 0.0
        self._since = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in CAUGHT:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
        elif time.monotonic() - self._since >= self._patience:
            os._exit(128 + number)  # checkpoints commit by a rename: leaving now can not damage one
