"""Run checks in a process of their own, so that one that hangs or crashes is a line in the report and no more.

One process looks at all checks in turn (importing torch takes seconds). When a check ends that process, or takes too
long and is killed, another one goes on with the rest.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType

from gptmill.cli.checks.base import PROBLEM, Check, Found
from gptmill.units import duration


def examine(checks: Sequence[Check], command: Sequence[str]) -> Iterator[tuple[Check, Found]]:
    """Every check with what was found, as it is found.

    Args:
        command: Python's arguments for a process that takes names of checks after it and prints each Found as a line of
            JSON.
    """
    left = list(checks)
    while left:
        with _Worker([*command, *(check.name for check in left)]) as worker:
            alive = True
            while left and alive:
                check = left.pop(0)
                found = worker.answer(check.seconds)
                alive = isinstance(found, Found)
                yield check, found if isinstance(found, Found) else Found(PROBLEM, found, check.remedy)


class _Worker:
    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what a check starts is killed with it
            env={**_loopback(), **os.environ},
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def answer(self, seconds: float) -> Found | str:
        """The next finding, or how the process ended instead."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return f"no answer within {duration(seconds)}"
        return Found(**json.loads(line)) if line.endswith(b"\n") else self._ended()

    def _ended(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "no answer"
        if code == -signal.SIGKILL:
            return "killed by the system, as happens when memory runs out"
        return f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def __enter__(self) -> _Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(5)
        except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            pass  # gone, or held by a device that does not answer: not worth waiting for


def _loopback() -> dict[str, str]:
    """Keeps two processes of this machine on it: gloo otherwise looks for the address of the machine's name."""
    names = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    return {"GLOO_SOCKET_IFNAME": names[0]} if names else {}
