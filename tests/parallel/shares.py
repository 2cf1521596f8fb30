"""A script for torchrun: a small run under each strategy, saved by all processes and read back. Prints one JSON object."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from gptmill.cli.parts import new_state
from gptmill.events import StepDone
from gptmill.parallel.engines import engine_of
from gptmill.parallel.launch import Place, find_place, joined
from gptmill.parallel.single import Single
from gptmill.plan.batch import settle_batch
from gptmill.plan.types import Plan
from gptmill.train.capture import Capture, capture
from gptmill.train.checkpoint import commit
from gptmill.train.loading import load
from gptmill.train.loop import run
from gptmill.train.shards import Company
from gptmill.train.sharing import here
from gptmill.train.state import TrainState
from tests.train.small import SMALL, Config, Corpus, Never, small_plan

STEPS = 20
SETTINGS: dict[str, Any] = {
    **{"max_iters": STEPS, "effective_batch_size": 12, "batch_size": 2, "dropout": 0.1, "dtype": "float32"},
    **{"fsdp_min_num_params": 0.0, "gradient_log_interval": 3, "weight_monitor_interval": 4, "n_embd": 48, "n_head": 3},
}


# update rules under what they can be shared by; AdamW is trained under everything
FEW: dict[str, Any] = {"max_iters": 6, "warmup_iters": 0}
SPAM = {"spam_variant": "spikes", "spam_enable_clip": True, "spam_theta": 3.0, "spam_spike_threshold": 0.5}
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("zero1", {**FEW, "learning_rate": 0.1}),
    "adamwadv": ("zero1", FEW),
    "muon": ("zero1", FEW),
    "adamwspam": ("fsdp", {**SPAM, "max_iters": 24, "spam_interval": 23}),  # clips from step 20 on
    "schedule_free_adamw": ("fsdp", FEW),
}


def plan_of(strategy: str, world_size: int, optimizer: str = "adamw") -> Plan:
    plan = small_plan(**{**SETTINGS, "optimizer": optimizer, **RULES.get(optimizer, ("", {}))[1]})
    batch = settle_batch(Config(**{**SMALL, **SETTINGS}), world_size)
    split = {name: getattr(batch, name) for name in ("batch_size", "micro_steps", "gradient_accumulation_steps")}
    return replace(plan, strategy=strategy, world_size=world_size, **split)


def held(taken: Capture) -> int:
    """Bytes of the state in this process."""
    return sum(here(tensor).nbytes for tensor in (*taken.weights.values(), *taken.moments.values()))


def trained(plan: Plan, place: Place, folder: Path) -> dict[str, Any]:
    engine = engine_of(plan, place)
    state, corpus = new_state(plan, engine), Corpus(plan)
    windows = {"train": corpus.windows_NS[:6].copy(), "val": corpus.windows_NS[50:57].copy()}
    told = list(run(plan, state, engine, take=corpus.take, eval_windows=windows, stop=Never()))
    steps = [event for event in told if isinstance(event, StepDone)]
    looked = [step for step in steps if step.gradients and step.weights] or steps
    taken = capture(state)
    if engine.sharded:
        company = Company()
        commit(folder, taken, {}, company=company) if place.rank == 0 else company.follow(taken)
    elif place.rank == 0:
        commit(folder, taken, {})
    if distributed.is_initialized():
        distributed.barrier()
    again = new_state(plan, engine_of(plan, place))
    load(folder / "checkpoints" / f"step_{plan.max_iters:08}", again)
    mine, read = taken.tensors, capture(again).tensors
    return {
        "losses": [step.loss for step in steps],
        "norms": [step.grad_norm for step in steps],
        "gradients": looked[-1].gradients,
        "frozen": looked[-1].weights["frozen"] if looked[-1].weights else None,
        "bytes": held(taken),
        "same": mine.keys() == read.keys() and all(torch.equal(here(mine[n]), here(read[n])) for n in mine),
    }


def gone_on(plan: Plan, state: TrainState) -> list[float]:
    """Losses of the next steps, in one process."""
    corpus, longer = Corpus(plan), replace(plan, max_iters=STEPS + 5, lr_decay_iters=STEPS + 5)
    windows = {"train": corpus.windows_NS[:6].copy(), "val": corpus.windows_NS[50:57].copy()}
    told = run(longer, state, Single(Place()), take=corpus.take, eval_windows=windows, stop=Never())
    return [event.loss for event in told if isinstance(event, StepDone)]


def main() -> None:
    place, folder = find_place(), Path(sys.argv[1])
    runs = {name: (name, "adamw") for name in ("ddp", "zero1", "fsdp")}
    runs |= {name: (strategy, name) for name, (strategy, _) in RULES.items()}
    with joined(place):
        found = {
            name: trained(plan_of(strategy, place.world_size, optimizer), place, folder / name)
            for name, (strategy, optimizer) in runs.items()
        }
        everyone: list[Any] = [found]
        if place.world_size > 1:
            everyone = [None] * place.world_size
            distributed.all_gather_object(everyone, found)
    if place.rank == 0:
        print(json.dumps(everyone))


if __name__ == "__main__":
    main()
