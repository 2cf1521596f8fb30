"""Small real runs for tests: a plan from a Config, a state, and random tokens to learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gptmill.config.schema import Config
from gptmill.events import Event
from gptmill.model.gpt import build
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.optim.pruning.pruner import Pruner
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts, Machine, Plan
from gptmill.train.loop import run
from gptmill.train.state import TrainState

CPU = Machine(kind="cpu", name="test", cores=1, memory=2**33, bf16=False)
DATA = DataFacts("toy", "nowhere", train_tokens=4001, val_tokens=401, vocab_size=29, tokenizer="char", sha256="0" * 64)
SMALL = {
    "n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 16, "batch_size": 4, "gradient_accumulation_steps": 1,
    "max_iters": 12, "warmup_iters": 2, "learning_rate": 1e-2, "eval_interval": 6, "eval_iters": 2, "device": "cpu",
}  # fmt: skip

# A model past its warm-up, which has learned most of what it can: what is unusual stands out (fixture ``settled``).
N_SETTLED = 200
SETTLED = {"max_iters": N_SETTLED, "eval_interval": 1000, "warmup_iters": 10, "schedule": "constant", "dropout": 0.1}


class Never:
    """A stop request that never comes."""

    signal: int | None = None


def small_plan(**changes: Any) -> Plan:
    return make_plan(Config(**{**SMALL, **changes}), data=DATA, machine=CPU)


def new_state(plan: Plan) -> TrainState:
    model = build(plan.shape, seed=plan.seed)
    optimizer = OPTIMIZERS[plan.optimizer](model, plan)
    pruner = Pruner(model, optimizer, plan) if plan.pruning_method != "none" else None
    return TrainState(model, optimizer, pruner=pruner)


class Corpus:
    """Windows of a noisy repeating text, and a record of which were taken."""

    def __init__(self, plan: Plan) -> None:
        generator = np.random.default_rng(0)
        cycle = np.tile(np.arange(29), 200)
        noisy = np.where(generator.random(len(cycle)) < 0.1, generator.integers(29, size=len(cycle)), cycle)
        self.windows_NS = np.lib.stride_tricks.sliding_window_view(noisy, plan.shape.block_size + 1)
        self.taken: list[int] = []

    def take(self, first: int, count: int) -> np.ndarray:
        self.taken += range(first, first + count)
        return self.windows_NS[[(i * 1_000_003) % len(self.windows_NS) for i in range(first, first + count)]]


def events(plan: Plan, state: TrainState, corpus: Corpus | None = None, stop: Any = None) -> Iterator[Event]:
    corpus = corpus or Corpus(plan)
    windows = {"train": corpus.windows_NS[:6].copy(), "val": corpus.windows_NS[50:57].copy()}
    return run(plan, state, Single(Place()), take=corpus.take, eval_windows=windows, stop=stop or Never())
