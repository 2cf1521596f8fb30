"""Advice on a settled plan, a file for each subject."""

from __future__ import annotations

from gptmill.plan.advice import hardware, horizon, model, optimizer, pruning, resources, schedule  # noqa: F401 - they register what they know
from gptmill.plan.advice.situation import ADVICE, Situation
from gptmill.plan.types import Advice


def advise(situation: Situation) -> tuple[Advice, ...]:
    """All that applies, warnings first, otherwise in the order of the files."""
    given = [piece for adviser in ADVICE.values() if (piece := adviser(situation)) is not None]
    return tuple(sorted(given, key=lambda piece: piece.level != "warning"))
