"""The other end of an outbox: the process that a tracker runs in.

A tracker is a class: ``Tracker(start, say)`` begins, ``tracker(fields)`` takes a line as metrics.jsonl has it,
``tracker.close()`` ends. It may raise, hang and print as it likes.
"""

from __future__ import annotations

import json
import os
import pkgutil
import re
import select
import signal
import sys
import threading
from typing import BinaryIO

OFF = "off:"  # how a tracker's last words begin
LONGEST = 300  # characters of them


def serve(kind: str, grace: int) -> None:
    """Feed the lines on stdin to a tracker until they end, then end this process.

    Args:
        kind: module:class of the tracker.
        grace: seconds from the end of the lines, or of who sends them, until the system ends this process.
    """
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # a scheduler may send it to all: the run ends first, and then its tracker
    lines, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):  # a tracker's own prints and children must not touch the pipes
        os.dup2(nothing, standard)
    threading.Thread(target=end_in_time, args=(lines, grace), daemon=True).start()

    def say(text: str) -> None:
        answers.write(" ".join(text.split())[:LONGEST].encode(errors="replace") + b"\n")

    try:
        tracker = pkgutil.resolve_name(kind)(json.loads(lines.readline()), say)
        for line in lines:
            if line.endswith(b"\n"):
                tracker(json.loads(line))
        tracker.close()
    except (Exception, SystemExit) as error:
        say(f"{OFF} {plainly(error)}")
        signal.alarm(grace)
        sys.exit(1)
    sys.exit(0)


def plainly(error: BaseException) -> str:
    """What went wrong as a person would say it: 'no route to host', 'key error ('loss')', 'it ended by itself'."""
    said = str(error).strip()
    if isinstance(error, SystemExit):
        return "it ended by itself"
    if " " in said:
        return said
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return f"{kind} ({said})" if said else kind


def end_in_time(lines: BinaryIO, grace: int) -> None:
    """Wait until nobody holds the other end of the pipe, and set the alarm, which even a tracker that hangs obeys."""
    ends = select.poll()
    ends.register(lines, 0)  # no event but the hang-up, which is always told
    ends.poll()
    signal.alarm(grace)
