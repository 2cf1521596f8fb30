"""A bound on processor time that a busy machine does not break: shared cores and caches add to every process alike."""

from __future__ import annotations

import os
import sys

LIBRARIES = "import cyclopts, pydantic, yaml"


def soon(at_least: float = 0.5) -> float:
    """Processor seconds that a command without torch may take now, start-up of Python included.

    ``at_least``, or 3.6 times what its libraries alone take to import at this moment, if that is more: a quiet machine
    needs 0.14 s for them.
    """
    return max(at_least, 3.6 * min(processor_seconds([sys.executable, "-c", LIBRARIES]) for _ in range(3)))


def processor_seconds(command: list[str]) -> float:
    _, status, used = os.wait4(os.posix_spawn(command[0], command, os.environ), 0)
    assert status == 0, command
    return used.ru_utime + used.ru_stime
