"""A script for torchrun: a small run in which one process is given broken batches, one in which a bit of its weights
flips, or of its moments, and some in which it is slow. The first process prints the alarms.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import torch

from gptmill.cli import parts
from gptmill.errors import Diverged
from gptmill.events import Alarm, RanksTimed, StepDone
from gptmill.parallel.ddp import Ddp
from gptmill.parallel.engines import engine_of
from gptmill.parallel.launch import Place, find_place, joined
from gptmill.plan.types import Plan
from gptmill.train import stragglers
from gptmill.train.loop import run
from tests.train.small import Corpus, Never, new_state, small_plan

SLEEP = 0.05  # seconds
SLOWED = ([("ddp", "forward")], [("zero1", "read"), ("fsdp", "read")])  # by rank: strategy, and where it sleeps


def main() -> None:
    broken = int(sys.argv[1])
    place = find_place()
    plan = replace(small_plan(gradient_accumulation_steps=2, max_iters=6), world_size=2, micro_steps=1)
    corpus = Corpus(plan)

    def take(first: int, count: int) -> np.ndarray:
        return corpus.take(first, count) * (place.rank != broken)

    windows = {split: corpus.windows_NS[:6].copy() for split in ("train", "val")}
    with joined(place):
        for event in run(plan, new_state(plan), Ddp(place), take=take, eval_windows=windows, stop=Never()):
            if isinstance(event, Alarm) and place.rank == 0:
                print(event.kind, event.sequences)
        for where in ("weights", "moments"):
            flipped(replace(plan, max_iters=40), place, broken, where)
        for strategy, where in SLOWED[broken]:
            slowed(replace(plan, max_iters=20, strategy=strategy), place, broken, where)


def flipped(plan: Plan, place: Place, broken: int, where: str) -> None:
    """Flip the lowest bit of one number in one process after 3 steps."""
    state, corpus, printed = new_state(plan), Corpus(plan), place.rank == 0
    windows = {split: corpus.windows_NS[:6].copy() for split in ("train", "val")}
    try:
        for event in run(plan, state, Ddp(place), take=corpus.take, eval_windows=windows, stop=Never()):
            if isinstance(event, StepDone) and event.iter == 3 and place.rank == broken:
                weight = state.model.lm_head.weight.detach()
                number = weight if where == "weights" else state.optimizer.state[state.model.lm_head.weight]["exp_avg"]
                bits = number.view(-1)[5:6].view(torch.int32)
                bits ^= 1 if where == "weights" else 1 << 24
            if isinstance(event, Alarm) and printed:
                print(where, event.kind, event.iter, event.says)
    except Diverged:
        if printed:
            print("stopped")


def slowed(plan: Plan, place: Place, slow: int, where: str) -> None:
    """Let one process take longer in every step, by so much that a busy machine does not hide it."""
    stragglers.EVERY, engine = 0.1, engine_of(plan, place)
    state, corpus, asleep = parts.new_state(plan, engine), Corpus(plan), SLEEP * (place.rank == slow)
    windows = {split: corpus.windows_NS[:6].copy() for split in ("train", "val")}

    def take(first: int, count: int) -> np.ndarray:
        time.sleep(asleep if where == "read" else 0)
        return corpus.take(first, count)

    if where == "forward":
        state.model.register_forward_pre_hook(lambda module, given: time.sleep(asleep))
    for event in run(plan, state, engine, take=take, eval_windows=windows, stop=Never()):
        if place.rank == 0 and isinstance(event, RanksTimed):
            print(
                "times", plan.strategy, where, *(round(ms) for ms in event.p50_ms), *(round(ms) for ms in event.p95_ms)
            )
        if place.rank == 0 and isinstance(event, Alarm) and event.kind == "slow_rank":
            print("slow", plan.strategy, where, event.says)


if __name__ == "__main__":
    main()
