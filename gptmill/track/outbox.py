"""Hands what happens in a run to a tracker in a process of its own, and never waits for it.

Why a process and no thread: a library that hangs cannot be taken out of a thread. Its exit hooks and its own threads would
hold up the end of the run, its imports and its encoding would take the interpreter from the training, what it prints would
land on our console, and a crash in it would be ours. A process can be left behind, or fail, and nothing here notices.

Why no thread to feed it either: the pipe does not block. What it does not take now waits in a bounded queue, and is offered
again with the next event; when the queue is full the oldest goes.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from gptmill.events import Event, Notice, RunDone, Stopped
from gptmill.track.inbox import OFF
from gptmill.track.records import record

CAPACITY = 5_000  # lines that wait
PATIENCE = 5.0  # seconds at the end of a run for what is still on its way; W&B uploads its rest in two or three
GRACE = 60  # seconds that a tracker may go on by itself after that
ENDED = f"{OFF} its process ended; training goes on without it"
BOOT = (
    "import os, sys; kind, grace, path = sys.argv[1:]; sys.path[:] = path.split(os.pathsep); "
    "from gptmill.track.inbox import serve; serve(kind, int(grace))"
)


class Outbox:
    """A recorder that sends every event on as the line that metrics.jsonl has.

    Args:
        label: the tracker's name for people.
        kind: module:class of the tracker (track/inbox.py says what that class is).
        start: what the tracker is made from, as JSON.
        capacity: lines that wait at most.
        patience: longest wait at the end of the run [seconds].
        grace: after that, or when this process dies, the tracker ends within so many seconds.

    Raises:
        OSError: no process can be started.
    """

    def __init__(
        self,
        label: str,
        kind: str,
        start: dict[str, Any],
        *,
        capacity: int = CAPACITY,
        patience: float = PATIENCE,
        grace: int = GRACE,
    ) -> None:
        self._label = label
        self._lines: deque[bytes] = deque(maxlen=capacity)
        self._unsent = (
            json.dumps(start).encode() + b"\n"
        )  # the rest of a line of which the pipe has taken the beginning
        self._dropped = 0
        self._patience, self._grace = patience, grace
        self._off = False
        self.process = subprocess.Popen(
            command(kind, grace),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the run; its tracker hears of it from the run
        )
        assert self.process.stdin and self.process.stdout
        self._in, self._out = self.process.stdin, self.process.stdout
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)
        self._send()

    def __call__(self, event: Event) -> Iterable[Event]:
        fields = None if self._off else record(event)
        if fields is None:
            return []
        self._dropped += len(self._lines) == self._lines.maxlen
        self._lines.append(json.dumps(fields).encode() + b"\n")
        self._send()
        said = self._hear()
        if isinstance(event, RunDone | Stopped):
            said += self._finish()
        return [Notice(event.iter, f"{self._label}: {line}") for line in said]

    def close(self) -> None:
        """End the tracker; nothing is left to do after a run that ended by itself."""
        if not self._off:
            self._finish()

    def _send(self) -> None:
        """Offer the pipe what waits, until it takes no more."""
        try:
            while self._unsent or self._lines:
                self._unsent = self._unsent or self._lines.popleft()
                self._unsent = self._unsent[os.write(self._in.fileno(), self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads any more: _hear is told why
            self._lines.clear()
            self._unsent = b""

    def _hear(self) -> list[str]:
        """What the tracker has said since; its end switches it off."""
        try:
            told = os.read(self._out.fileno(), 65536)
        except BlockingIOError:
            return []
        said = told.decode(errors="replace").splitlines()
        if not told or any(line.startswith(OFF) for line in said):
            self._off = True
            self._in.close()
        return said if told else [ENDED]

    def _finish(self) -> list[str]:
        """Let the tracker take what waits and end; leave it behind when that takes long."""
        deadline = time.monotonic() + self._patience
        while (self._unsent or self._lines) and (seconds := deadline - time.monotonic()) > 0:
            select.select([], [self._in], [], seconds)
            self._send()
        dropped = self._dropped + len(self._lines) + bool(self._unsent)
        self._in.close()
        try:
            code = self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = None
        said = [line for line in self._hear() if line != ENDED or code]
        if code is None:
            said.append(f"not done {self._patience:g} s after the run; left to itself for at most {self._grace} s")
        if dropped:
            said.append(f"{dropped:,} lines were dropped, it took them too slowly; metrics.jsonl has them all")
        self._off = True
        return said


def trial(kind: str, seconds: float) -> str | None:
    """Make a tracker and end it: why it fails, or None; None too when that is not known after so many seconds."""
    try:
        done = subprocess.run(
            command(kind, GRACE), input=b"{}\n", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return None
    said = done.stdout.decode(errors="replace").splitlines() or [ENDED]
    return said[-1].removeprefix(OFF).strip() if done.returncode else None


def command(kind: str, grace: int) -> list[str]:
    """Starts a tracker's process, in which every package is found where this one finds it, whatever the folder holds."""
    return [sys.executable, "-c", BOOT, kind, str(grace), os.pathsep.join(sys.path)]
