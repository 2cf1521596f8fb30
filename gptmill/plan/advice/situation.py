"""What advice is: a function per mistake looks at a settled plan and says nothing, or one thing worth knowing.

Advice never stops a run: what cannot work is an error, raised elsewhere. Adding a piece is one registered function in the
file of its subject; its name is the mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gptmill.config.schema import Config
from gptmill.plan.types import Advice, DataFacts, Machine, Plan
from gptmill.registry import Registry


@dataclass(frozen=True)
class Situation:
    """What was asked, what was settled (``plan.advice`` is still empty), and what there is."""

    config: Config
    plan: Plan
    data: DataFacts | None
    machine: Machine


Adviser = Callable[[Situation], Advice | None]
ADVICE: Registry[Adviser] = Registry("advice")


def note(key: str, says: str, because: str, try_: str) -> Advice:
    return Advice("note", key, says, because, try_)


def warning(key: str, says: str, because: str, try_: str) -> Advice:
    return Advice("warning", key, says, because, try_)


def default(key: str) -> Any:
    return Config.model_fields[key].default
