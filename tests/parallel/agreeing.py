"""A script for torchrun: two processes look for a batch, one with less room. The first prints what both chose and tried."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

from torch import distributed

from gptmill.cli import auto_batch
from gptmill.parallel.ddp import Ddp
from gptmill.parallel.launch import find_place, joined
from gptmill.plan.types import Plan
from tests.train.small import small_plan

TARGET = 40_000_000
MB_A_SEQUENCE = (1, 3)  # in each process
MOST_BEFORE_RUNNING_OUT = (10**6, 20)  # sequences


def main() -> None:
    place = find_place()
    plan = replace(small_plan(batch_size=48, effective_batch_size=96), world_size=2, micro_steps=1, strategy="ddp")
    tried: list[int] = []

    def takes(candidate: Plan) -> int | None:
        batch = candidate.batch_size
        tried.append(batch)
        return batch * MB_A_SEQUENCE[place.rank] * 10**6 if batch <= MOST_BEFORE_RUNNING_OUT[place.rank] else None

    auto_batch.trial_apart = takes
    with joined(place):
        found = SimpleNamespace(engine=Ddp(place), state=SimpleNamespace(model=None))
        chosen = auto_batch.try_batch_size(replace(plan, memory_target=TARGET), found, asked=True)  # type: ignore[arg-type]
        told: list[tuple[int, int, list[int]]] = [(0, 0, [])] * 2
        distributed.all_gather_object(told, (chosen.batch_size, chosen.micro_steps, tried))
    if place.rank == 0:
        print(json.dumps(told))


main()
