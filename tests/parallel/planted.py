"""A script for torchrun: a small run in which one process is given broken batches, and one in which a bit of its weights
flips, or of its moments. The first process prints the alarms.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch

from gptmill.errors import Diverged
from gptmill.events import Alarm, StepDone
from gptmill.parallel.ddp import Ddp
from gptmill.parallel.launch import Place, find_place, joined
from gptmill.plan.types import Plan
from gptmill.train.loop import run
from tests.train.small import Corpus, Never, new_state, small_plan


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


main()
