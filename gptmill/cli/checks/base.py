"""A check, and what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OK, MISSING, PROBLEM = "ok", "missing", "problem"


@dataclass(frozen=True)
class Found:
    """What a check has to say.

    Args:
        status: ok; missing = not there, and gptmill does without; problem = there and wrong, or needed and not there.
        says: what was found, a phrase for a person.
        try_: what to do about it; empty when there is nothing to do.
        figures: numbers behind the phrase, with their unit in the name.
    """

    status: str
    says: str
    try_: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Args:
        look: raises or never returns when the thing is broken; that is told as a problem with ``remedy``.
        seconds: given to ``look``; more is a problem too.
        needed: training does not work without it.
    """

    name: str
    look: Callable[[], Found]
    remedy: str
    needed: bool = False
    seconds: float = 60
