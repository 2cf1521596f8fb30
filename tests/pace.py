"""A bound on processor time that a busy machine does not break: shared cores and caches add to every process alike."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

SOON = 0.5  # processor seconds for a line about a mistake, start-up of Python included
PLUGINS = "PYDANTIC_DISABLE_PLUGINS"  # which the command sets by itself
LIBRARIES = f"import os; os.environ[{PLUGINS!r}] = '__all__'; import cyclopts, pydantic, yaml"
TIMES = 3.6  # so much longer than its libraries alone take to import, on a quiet machine 0.14 s, a command may take
TRIES = 5


class Answer(NamedTuple):
    """What a process said. Args: lines: on stderr. seconds: of processor time."""

    status: int
    out: bytes
    lines: list[str]
    seconds: float


def answer(code: str, words: list[str]) -> Answer:
    """Run Python code with words as its arguments in a fresh process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", code, *words],
            {**{k: v for k, v in os.environ.items() if k != PLUGINS}, "PYTHONPATH": str(Path(__file__).parents[1])},
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)],
        )
        _, status, used = os.wait4(child, 0)
        out.seek(0)
        err.seek(0)
        lines = err.read().decode().splitlines()
        return Answer(os.waitstatus_to_exitcode(status), out.read(), lines, used.ru_utime + used.ru_stime)


def soon(code: str, words: list[str]) -> Answer:
    """The same, which must take less than ``SOON`` once in a few tries.

    Where it takes longer, its libraries are imported alone right after it, in what is the same state of the machine.
    """
    took = []
    for _ in range(TRIES):
        found = answer(code, words)
        allowed = SOON if found.seconds < SOON else TIMES * answer(LIBRARIES, []).seconds
        if found.seconds < allowed:
            return found
        took.append((found.seconds, allowed))
    raise AssertionError(f"processor seconds taken and allowed: {took}")
