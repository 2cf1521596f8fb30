"""The output penalty in a run: the updates of plain PyTorch on whole logits, and a validation loss that stays comparable."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gptmill.config.coerce import choices
from gptmill.config.load import load
from gptmill.events import EvalDone, StepDone
from gptmill.model.penalties import PENALTIES
from gptmill.plan.types import Plan
from gptmill.track.records import record
from gptmill.track.scalars import CHARTS, scalars
from gptmill.train.state import TrainState
from tests.model.test_loss import penalty_of
from tests.train.small import Corpus, events, new_state, small_plan


def steps(plan: Plan, state: TrainState) -> list[StepDone]:
    return [event for event in events(plan, state) if isinstance(event, StepDone)]


@pytest.mark.parametrize("kind", PENALTIES)
def test_updates_with_a_penalty_equal_textbook_pytorch_over_uneven_micro_batches(kind: str) -> None:
    plan = small_plan(
        penalty_type=kind, penalty_weight=0.4, penalty_top_k=3, batch_size=5, effective_batch_size=13, max_iters=4,
        schedule="constant", warmup_iters=0, grad_clip=0, eps=1e-3,  # no noise is made large
    )  # fmt: skip
    state, reference = new_state(plan), new_state(plan)
    found, corpus = steps(plan, state), Corpus(plan)
    for n, told in enumerate(found):
        ids_BS = torch.from_numpy(corpus.take(13 * n, 13).copy())
        logits_BTV = reference.model(ids_BS[:, :-1])
        ce = F.cross_entropy(logits_BTV.flatten(0, 1), ids_BS[:, 1:].flatten())
        penalty = penalty_of(kind, logits_BTV[:, :-1].flatten(0, 1), 3).mean()  # not at the last position
        largest = logits_BTV[:, :-1].softmax(-1).amax(-1).mean()
        reference.optimizer.zero_grad()
        (ce + 0.4 * penalty).backward()
        reference.optimizer.step()
        expected = [(ce + 0.4 * penalty).item(), ce.item(), penalty.item(), largest.item()]
        assert [told.loss, told.ce_loss, told.penalty, told.avg_max_prob] == pytest.approx(expected, rel=1e-5)
    for (name, mine), theirs in zip(state.model.named_parameters(), reference.model.parameters()):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5, msg=name)
    assert [told.loss for told in found] != [told.loss for told in steps(small_plan(max_iters=4), new_state(plan))]


@pytest.mark.parametrize("off", [{"penalty_type": "neg_entropy"}, {"penalty_weight": 0.3}, {}])
def test_without_a_kind_or_a_weight_a_run_has_the_bits_of_a_plain_one(off: dict[str, object]) -> None:
    plain, state = new_state(small_plan()), new_state(small_plan())
    steps(small_plan(), plain)
    told = steps(small_plan(**off), state)
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), state.model.parameters()))
    assert told[-1].penalty is None and told[-1].ce_loss == (told[-1].loss if "penalty_type" in off else None)


def test_validation_loss_is_cross_entropy_alone_and_the_penalty_is_told_beside_it() -> None:
    plan = small_plan(penalty_type="neg_entropy", penalty_weight=0.5)
    plain = next(event for event in events(small_plan(), new_state(plan)) if isinstance(event, EvalDone))
    state = new_state(plan)
    first = next(event for event in events(plan, state) if isinstance(event, EvalDone))
    assert first.val_loss == plain.val_loss == first.ce_loss and first.train_loss == plain.train_loss
    with torch.no_grad():
        ids_NS = torch.from_numpy(Corpus(plan).windows_NS[50:57].copy())
        logits_NTV = state.model(ids_NS[:, :-1])[:, :-1].flatten(0, 1)
    entropy, largest = penalty_of("neg_entropy", logits_NTV, 0).mean(), logits_NTV.softmax(-1).amax(-1).mean()
    assert (first.penalty, first.avg_max_prob) == pytest.approx((entropy.item(), largest.item()), rel=1e-5)
    assert not {"ce_loss", "penalty", "avg_max_prob"} & set(record(plain) or {})


def test_charts_have_the_documented_names() -> None:
    plan = small_plan(penalty_type="top_k_mass", penalty_weight=0.1, max_iters=2)
    charts: dict[str, float] = {}
    for event in events(plan, new_state(plan)):
        charts |= scalars(record(event) or {"event": "", "iter": 0})
    names = ("loss", "ce_loss", "penalty", "avg_max_prob", "perplexity")
    assert {*(f"train/{name}" for name in names), *(f"val/{name}" for name in names)} <= set(charts)
    assert charts["train/loss"] == pytest.approx(charts["train/ce_loss"] + 0.1 * charts["train/penalty"], rel=1e-6)
    assert charts["train/perplexity"] == math.exp(charts["train/ce_loss"])
    assert charts["val/loss"] == charts["val/ce_loss"]


def test_under_float16s_scale_the_update_is_the_same() -> None:
    plan = small_plan(penalty_type="neg_entropy", penalty_weight=0.3, max_iters=3)
    plain, scaled = new_state(plan), new_state(plan)
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    losses = [[told.loss for told in steps(plan, state)] for state in (plain, scaled)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for a, b in zip(plain.model.parameters(), scaled.model.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_penalty_makes_the_model_surer() -> None:
    """Or, with the sign turned, less sure: all four fall as the largest probability grows."""
    sure = {}
    for weight in (0.0, 1.0):
        plan = small_plan(penalty_type="neg_entropy", penalty_weight=weight or 1e-9, max_iters=40, eval_interval=100)
        sure[weight] = steps(plan, new_state(plan))[-1].avg_max_prob
    assert sure[1.0] is not None and sure[0.0] is not None and sure[1.0] > sure[0.0] + 0.02


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guide/penalty.md").read_text()


def test_the_guide_has_the_kinds_and_the_charts_that_there_are() -> None:
    kinds = re.findall(r"^\| `(\w+)` \| [^|]*\bp", PAGE, re.MULTILINE)[1:5]
    assert kinds == [*choices("penalty_type")[1:]] == [*PENALTIES]
    charts = {chart for named in CHARTS.values() for chart in named.values()}
    assert set(re.findall(r"`((?:train|val)/\w+)`", PAGE)) <= charts
    command = re.search(r"^    gptmill train (.*)$", PAGE, re.MULTILINE)
    assert command and load(command[1].split()).config.penalty_weight == 0.01


def test_costs_are_those_on_file() -> None:
    found = json.loads((ROOT / "benchmarks/results/penalty_cpu.json").read_text())["kinds"]
    plain = found.pop("none")
    for kind, one in found.items():
        time, memory = one["seconds"] / plain["seconds"], one["bytes"] / plain["bytes"]
        assert f"| `{kind}` | {time:.2f} x | {memory:.2f} x |" in PAGE and memory < 1.1, (kind, time, memory)
