"""The parallel engines, by the plan's strategy."""

from __future__ import annotations

from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.types import Plan


def engine_of(plan: Plan, place: Place) -> Single:
    """The engine that carries out the plan; every process of the group must ask for it."""
    if plan.strategy == "zero1":
        from gptmill.parallel.zero1 import Zero1

        return Zero1(place)
    if plan.strategy == "fsdp":
        from gptmill.parallel.fsdp import Fsdp

        return Fsdp(place)
    if plan.strategy == "ddp":
        from gptmill.parallel.ddp import Ddp

        return Ddp(place)
    return Single(place)
