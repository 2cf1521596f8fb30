"""The fault zoo: things that really go wrong in training, planted in a small model past its warm-up, must be named.

Every fault is planted in the machinery (weights, batches, learning rate, graph), never in what looks at it.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gptmill.train.step as step_module
from gptmill.errors import GptmillError
from gptmill.events import Alarm
from gptmill.model.gpt import GPT
from gptmill.optim.schedules import lr_at
from gptmill.plan.types import Plan
from gptmill.train.device import to_device
from gptmill.train.state import TrainState
from tests.cli.run import gptmill
from tests.train.small import N_SETTLED, SETTLED, Corpus, events, new_state, small_plan

NAMED_WITHIN = 20
SMALL = {**SETTLED, "max_iters": N_SETTLED + NAMED_WITHIN}


class Run:
    """A small run in which a fault can be planted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: TrainState, **changes: Any) -> None:
        self.plan: Plan = small_plan(**{**SMALL, **changes})
        self.state = state
        self.corpus = Corpus(self.plan)
        self.monkeypatch = monkeypatch

    @property
    def model(self) -> GPT:
        assert isinstance(self.state.model, GPT)
        return self.state.model

    def poison(self, change: Callable[[np.ndarray, int], np.ndarray]) -> None:
        """Change what the corpus returns: windows [B, S] and the number of the first."""
        take = self.corpus.take
        self.corpus.take = lambda first, count: change(take(first, count), first)  # type: ignore[method-assign]


def lr_times_100(run: Run) -> None:
    run.monkeypatch.setattr(step_module, "lr_at", lambda step, plan: 100 * lr_at(step, plan))


def nan_weight(run: Run) -> None:
    with torch.no_grad():
        run.model.blocks[1].mlp.c_fc.weight[3, 5] = math.nan


def dead_layer(run: Run) -> None:
    with torch.no_grad():  # nothing flows into the block's feed-forward layer or out of it any more
        run.model.blocks[0].norm_2.weight.zero_()
    run.model.blocks[0].norm_2.weight.register_hook(torch.zeros_like)


def exploding_init(run: Run) -> None:
    with torch.no_grad():
        for weight in run.model.parameters():
            weight *= 50.0


def duplicated_batches(run: Run) -> None:
    again = run.corpus.take(8, run.plan.batch_size)
    run.poison(lambda windows_BS, first: again)


def shuffled_labels(run: Run) -> None:
    def shuffled(tokens_BS: np.ndarray, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        x_BT, y_BT = to_device(tokens_BS, device)
        return x_BT, y_BT[:, torch.randperm(y_BT.shape[1])]

    run.monkeypatch.setattr(step_module, "to_device", shuffled)


def frozen_parameters(run: Run) -> None:
    frozen = run.model.blocks[1].attn.c_proj.weight
    for group in run.state.optimizer.param_groups:  # as when an optimizer is built before a layer is replaced
        group["params"] = [p for p in group["params"] if p is not frozen]


def fp16_overflow(run: Run) -> None:
    run.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    run.model.wte.weight.register_hook(lambda grad: grad * math.inf)


def bad_shard(run: Run) -> None:
    run.poison(lambda windows_BS, first: np.where(np.arange(len(windows_BS))[:, None] % 2, windows_BS, 0))


def clipped_to_zero(run: Run) -> None:
    pass  # grad_clip in the plan


def spike_batch(run: Run) -> None:
    noise = np.random.default_rng(1).integers(29, size=(run.plan.batch_size, 17))
    at = run.state.sequences + 5 * run.plan.batch_size
    run.poison(lambda windows_BS, first: noise if first == at else windows_BS)


def detached_block(run: Run) -> None:
    block = run.model.blocks[1]
    forward = block.forward
    block.forward = lambda x_BTC, *others: x_BTC + (forward(x_BTC, *others) - x_BTC).detach()  # type: ignore[method-assign]


FAULTS: dict[str, tuple[Callable[[Run], None], set[str], str | None]] = {
    # fault: how it is planted, the alarms that name it, and the layer to be named
    "learning rate x100": (lr_times_100, {"loss_spike", "gradient_spike"}, None),
    "NaN weight": (nan_weight, {"nonfinite"}, "blocks.1.mlp.c_fc.weight"),
    "dead layer": (dead_layer, {"dead_layer"}, "blocks.0.norm_2.weight"),
    "exploding init": (exploding_init, {"exploding_init"}, None),
    "duplicated batches": (duplicated_batches, {"duplicate_batch"}, None),
    "shuffled labels": (shuffled_labels, {"shuffled_labels"}, None),
    "frozen parameters": (frozen_parameters, {"frozen_parameters"}, "blocks.1.attn.c_proj.weight"),
    "float16 overflow": (fp16_overflow, {"fp16_overflow"}, None),
    "bad shard": (bad_shard, {"bad_shard"}, None),
    "clipped to zero": (clipped_to_zero, {"clipped_to_zero"}, None),
    "spike batch": (spike_batch, {"loss_spike", "gradient_spike"}, None),
    "detached block": (detached_block, {"detached_block"}, "blocks.1"),
}
FROM_THE_START = ("exploding init",)
CHANGES = {"clipped to zero": {"grad_clip": 1e-9}, "exploding init": {"max_iters": NAMED_WITHIN}}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_within_20_steps(
    name: str, settled: TrainState, monkeypatch: pytest.MonkeyPatch, counted: Callable[[int, str], None]
) -> None:
    plant, kinds, layer = FAULTS[name]
    changes = CHANGES.get(name, {})
    state = new_state(small_plan(**SMALL)) if name in FROM_THE_START else copy.deepcopy(settled)
    run = Run(monkeypatch, state, **changes)
    plant(run)
    last, found = state.iter + NAMED_WITHIN, []
    with contextlib.suppress(GptmillError):  # a run that stops has said why before
        found += (event for event in events(run.plan, state, run.corpus) if isinstance(event, Alarm))
    assert all(alarm.iter <= last for alarm in found)
    named = [alarm for alarm in found if alarm.kind in kinds]
    assert named, found
    assert layer is None or named[0].layer == layer
    assert named[0].layer or named[0].sequences or name == "clipped to zero"
    warned = [(alarm.kind, alarm.layer) for alarm in named if alarm.action == "warn"]
    assert len(warned) == len(set(warned)), "said more than once"
    counted(1, f"of {len(FAULTS)} planted faults named")


def test_500_clean_steps_on_a_real_corpus_raise_no_alarm(tmp_path: Path) -> None:
    words = "quick --n_layer=2 --n_head=2 --n_embd=32 --block_size=64 --batch_size=4 --warmup_iters=20 --max_iters=500"
    gptmill(
        tmp_path, "train", *words.split(), "--eval_interval=500", "--eval_iters=2", "--out_dir=clean", "--json"
    ).json()
    records = [json.loads(line) for line in (tmp_path / "clean" / "metrics.jsonl").read_text().splitlines()]
    assert sum(fields["event"] == "step_done" for fields in records) == 500
    assert not [fields for fields in records if fields["event"] == "alarm"]
