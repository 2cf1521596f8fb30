"""The fault zoo: things that really go wrong in training, planted in a small model past its warm-up, must be named.

Every fault is planted in the machinery (weights, batches, learning rate, graph), never in what looks at it.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import re
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
from gptmill.train.spikes import ENOUGH, WINDOW, gradient_spike, loss_spike, robust_z
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


GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "health.md").read_text()


def test_the_guides_commands_work_and_500_clean_steps_on_a_real_corpus_raise_no_alarm(tmp_path: Path) -> None:
    small = "--tokenizer=char --n_layer=2 --n_head=2 --n_embd=32 --block_size=32 --batch_size=4 --eval_interval=500 --eval_iters=2"
    commands = [line.split()[1:] for line in GUIDE.splitlines() if line.startswith("    gptmill ")]
    assert len(commands) == 2
    for words, steps in zip(commands, (500, 20)):
        done = gptmill(tmp_path, *words, *small.split(), f"--max_iters={steps}")
        assert done.code == 0, done.err
        folder = next(word.removeprefix("--out_dir=") for word in words if word.startswith("--out_dir="))
        records = [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
        taken = [fields for fields in records if fields["event"] == "step_done"]
        assert len(taken) == steps
        assert not [fields for fields in records if fields["event"] == "alarm"]
    assert [fields["iter"] for fields in taken if "gradients" in fields] == [5, 10, 15, 20]
    assert [fields["iter"] for fields in taken if "weights" in fields] == [10, 20]
    for name in [*taken[19]["gradients"], *taken[19]["weights"]["layers"]["wte.weight"], *taken[19]["times_ms"]]:
        assert f"`{name}`" in GUIDE, name


def test_the_guide_lists_the_alarms_of_the_zoo() -> None:
    listed = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]* \| (?:every|first)", GUIDE, re.MULTILINE)
    named = {kind for _, kinds, _ in FAULTS.values() for kind in kinds}
    assert {name for names in listed for name in re.findall(r"`(\w+)`", names)} == named | {
        "slow_rank",  # needs several processes: tests/parallel
        "vanishing_update",
        "weights_differ",
    }


def test_gradients_below_eps_are_named_though_nothing_clips_them() -> None:
    plan = small_plan(eps=0.5, max_iters=2, weight_decay=0.0)
    state = new_state(plan)
    before = state.model.norm_f.weight.clone()
    found = [event.kind for event in events(plan, state) if isinstance(event, Alarm)]
    assert found == ["vanishing_update"]
    assert (state.model.norm_f.weight - before).abs().max() < 0.1 * plan.learning_rate  # Adam moves a weight by lr


@pytest.mark.parametrize("slope", [0.0, -0.02])
def test_a_deviation_is_one_of_the_noise_even_while_the_loss_falls(slope: float) -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=WINDOW)
    losses = (6.0 + slope * np.arange(WINDOW) + noise).tolist()
    usual, z = robust_z(losses[-1] + 2.0, losses)
    assert z == pytest.approx((losses[-1] + 2.0 - usual) / 0.1, rel=0.25)
    assert loss_spike(usual + 1.5, losses) and not loss_spike(usual + 0.5, losses)
    assert robust_z(100.0, losses[: ENOUGH - 1])[1] == 0.0


def test_a_gradient_spike_is_hundreds_of_times_the_usual_norm() -> None:
    norms = np.exp(np.random.default_rng(0).normal(scale=0.3, size=WINDOW)).tolist()
    assert gradient_spike(500.0, norms) and not gradient_spike(70.0, norms)
    assert not gradient_spike(0.0, norms) and not gradient_spike(500.0, [])
