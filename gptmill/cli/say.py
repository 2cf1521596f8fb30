"""Remarks for a person, on stderr."""

from __future__ import annotations

import contextlib
import sys


def say(*lines: str | None) -> None:
    """Print each line that there is. A terminal or pipe that went away never stops the work."""
    if sys.stderr is None:  # started with stderr closed
        return
    with contextlib.suppress(OSError):
        for line in filter(None, lines):
            print(line, file=sys.stderr, flush=True)
