"""metrics.jsonl: the run's diary, one event a line, only ever appended to.

A kill can tear the last line; the next writer cuts it off, and readers skip what does not parse. A resumed run writes
steps again that the killed one had written: readers take what follows a ``run_started`` line as the truth from its
step on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from gptmill.durable import write_all
from gptmill.events import CheckpointDue, Event, Notice, RunDone
from gptmill.plain import LONGEST_LINE, lines_of, open_plain
from gptmill.track.records import record, without_nan

METRICS = "metrics.jsonl"


class JsonlRecorder:
    """Writes every event as it happens; give it events before the checkpointer, so that no step is saved unrecorded.

    Args:
        summary: called at RunDone; its dict becomes the ``summary`` of the run_done line, which marks the run finished.
    """

    def __init__(self, run_dir: Path, summary: Callable[[], dict[str, Any]]) -> None:
        self._path = run_dir / METRICS
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o600)
        self._summary = summary
        self._failed = False
        _cut_torn_line(self._fd)

    def __call__(self, event: Event) -> Iterable[Event]:
        """Append the event. A full disk never stops a run: it is said once, and lines are lost until there is room."""
        fields = record(event)
        try:
            if isinstance(event, CheckpointDue):
                os.fsync(self._fd)
            if fields is not None:
                if isinstance(event, RunDone):
                    fields["summary"] = without_nan(self._summary())
                self._append(fields)
        except OSError as error:
            if self._failed:
                return []
            self._failed = True
            return [Notice(event.iter, f"{self._path}: {error.strerror}; metrics are lost, training goes on")]
        self._failed = False
        return []

    def close(self) -> None:
        os.close(self._fd)

    def _append(self, fields: dict[str, Any]) -> None:
        if self._failed:
            _cut_torn_line(self._fd)
        fields["time"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        # One system call a line (some microseconds) instead of a buffer: what was yielded survives a kill.
        write_all(self._fd, (json.dumps(fields, allow_nan=False) + "\n").encode())


def note(run_dir: Path, event: Event) -> None:
    """Add one event to the diary of a run that no recorder has open."""
    recorder = JsonlRecorder(run_dir, dict)
    recorder(event)
    recorder.close()


def read_events(run_dir: Path) -> Iterator[dict[str, Any]]:
    """Every readable line of metrics.jsonl, in the order written; nothing when there is no such file."""
    try:
        file = open_plain(run_dir / METRICS)
    except FileNotFoundError:
        return
    with file:
        for line in lines_of(file):
            fields = parse_line(line)
            if fields is not None:
                yield fields


def has_saved(run_dir: Path) -> bool:
    """Whether the run ever committed a checkpoint."""
    return any(fields["event"] == "checkpoint_saved" for fields in read_events(run_dir))


def finished(run_dir: Path) -> dict[str, Any] | None:
    """The last run_done line, with its ``iter`` and ``summary``, or None while the run was never completed."""
    last = None
    try:
        with open_plain(run_dir / METRICS) as file:
            for line in lines_of(file):
                if b'"run_done"' in line:
                    fields = parse_line(line)
                    if fields is not None and fields["event"] == "run_done":
                        last = fields
    except OSError:
        return None
    return last


def parse_line(line: bytes) -> dict[str, Any] | None:
    """One line as a record; None when it is damaged, or unfinished and about to be cut off by the next writer."""
    try:
        fields = _decode(line) if line.endswith(b"\n") and not line.isspace() else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return None
    return fields if isinstance(fields.get("iter"), int) and fields["iter"] >= 0 else None


def _decode(line: bytes) -> Any:
    """JSON by pydantic's reader, at three times the speed of Python's: a log may have 600,000 lines."""
    try:
        return from_json(line)
    except ValueError:  # damaged; or it holds half of a surrogate pair, as file names can, and only Python's takes that
        return json.loads(line)


def _cut_torn_line(fd: int) -> None:
    """Shorten the file to its last newline; what is longer than any record is cut off with all that follows it."""
    start = end = os.lseek(fd, 0, os.SEEK_END)
    while start > max(0, end - LONGEST_LINE):
        start = max(0, start - 4096)
        newline = os.pread(fd, min(4096, end - start), start).rfind(b"\n")
        if newline >= 0:
            start += newline + 1
            break
    else:
        if start > 0:
            with open(os.dup(fd), "rb") as file:
                file.seek(0)
                start = sum(len(line) for line in lines_of(file) if line.endswith(b"\n"))
    if start < end:
        os.ftruncate(fd, start)
