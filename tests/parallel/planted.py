"""A script for torchrun: a small run in which one process is given broken batches. The first one prints its alarms."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from gptmill.events import Alarm
from gptmill.parallel.ddp import Ddp
from gptmill.parallel.launch import find_place, joined
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


main()
