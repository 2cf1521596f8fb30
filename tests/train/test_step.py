"""One update: equal to plain PyTorch, independent of how the batch is split, and never poisoned."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gptmill.errors import GptmillError
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.train.step import train_step
from gptmill.train.watch import Watch
from tests.train.small import Corpus, new_state, small_plan


def step(plan, state, corpus):  # type: ignore[no-untyped-def]
    watch = Watch(plan, state)
    done = train_step(state, plan, Single(Place()), state.model, corpus.take, watch)
    list(watch.events())
    return done


def test_a_step_equals_textbook_pytorch() -> None:
    plan = small_plan(grad_clip=0.05, weight_decay=0.2)
    state, reference = new_state(plan), new_state(plan).model
    decays = [p for p in reference.parameters() if p.dim() > 1]
    others = [p for p in reference.parameters() if p.dim() == 1]
    adamw = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.2}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.95), eps=1e-8, fused=False, foreach=False,
    )  # fmt: skip
    corpus = Corpus(plan)
    for n in range(4):
        result = step(plan, state, corpus)
        ids_BS = torch.from_numpy(corpus.take(4 * n, 4).copy())
        logits_BTV = reference(ids_BS[:, :-1])
        loss = F.cross_entropy(logits_BTV.flatten(0, 1), ids_BS[:, 1:].flatten())
        loss.backward()
        norm = math.sqrt(sum(p.grad.double().pow(2).sum().item() for p in reference.parameters()))
        assert norm > 0.05  # the clip below must matter
        for p in reference.parameters():
            p.grad *= 0.05 / (norm + 1e-6)
        for group in adamw.param_groups:
            group["lr"] = 1e-2 * min(1.0, (n + 1) / 3) if n < 2 else result.lr
        adamw.step()
        adamw.zero_grad()
        assert result.loss == pytest.approx(loss.item(), rel=1e-5)
        assert result.grad_norm == pytest.approx(norm, rel=1e-4)
    for (name, ours), theirs in zip(state.model.named_parameters(), reference.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-6, msg=name)


@pytest.mark.parametrize(("limit", "grows"), [(1.0, 1e-3), (1.0, 1e3), (0.0, 1e3)])
def test_clipping_is_pytorchs_bit_for_bit_whether_or_not_it_matters(limit: float, grows: float) -> None:
    ours, theirs = (new_state(small_plan()).model for _ in range(2))
    generator = torch.Generator().manual_seed(5)
    for p, q in zip(ours.parameters(), theirs.parameters()):
        p.grad = torch.randn(p.shape, generator=generator) * grows
        q.grad = p.grad.clone()
    norm = Single(Place()).clip(ours, limit)
    assert norm == torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit or math.inf)
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters()))
    assert (norm > 1) == (grows > 1)


def test_a_norm_at_the_limit_is_clipped_as_pytorch_does() -> None:
    ours, theirs = (torch.nn.Linear(1, 1, bias=False) for _ in range(2))
    for model in (ours, theirs):
        model.weight.grad = torch.ones(1, 1)
    Single(Place()).clip(ours, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
    assert ours.weight.grad == theirs.weight.grad < 1


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_four_batches_of_three_equal_one_of_twelve(dropout: float) -> None:
    big = small_plan(batch_size=12, dropout=dropout, attention_backend="manual")
    split = small_plan(batch_size=3, gradient_accumulation_steps=4, dropout=dropout, attention_backend="manual")
    one, four = new_state(big), new_state(split)
    for _ in range(5):
        a, b = step(big, one, Corpus(big)), step(split, four, Corpus(split))
        assert a.loss == pytest.approx(b.loss, rel=2e-6)
        assert a.grad_norm == pytest.approx(b.grad_norm, rel=2e-5)
    assert (one.iter, one.sequences, one.tokens) == (four.iter, four.sequences, four.tokens) == (5, 60, 960)


def test_uneven_micro_batches_equal_one_of_all() -> None:
    big = small_plan(batch_size=13, dropout=0.3, attention_backend="manual")
    uneven = small_plan(batch_size=5, effective_batch_size=13, dropout=0.3, attention_backend="manual")
    one, three, corpus = new_state(big), new_state(uneven), Corpus(uneven)
    for _ in range(5):
        a, b = step(big, one, Corpus(big)), step(uneven, three, corpus)
        assert a.loss == pytest.approx(b.loss, rel=2e-6)
        assert a.grad_norm == pytest.approx(b.grad_norm, rel=2e-5)
    assert corpus.taken == list(range(65)) and uneven.micro_steps == 3


def test_weights_never_move_at_learning_rate_zero() -> None:
    plan = small_plan(learning_rate=0.0)
    state, fresh = new_state(plan), new_state(plan)
    for _ in range(3):
        step(plan, state, Corpus(plan))
    assert all(torch.equal(a, b) for a, b in zip(state.model.parameters(), fresh.model.parameters()))


@pytest.mark.parametrize("poison", ["weight", "gradient"])
def test_a_non_finite_number_stops_the_run_before_the_update(poison: str) -> None:
    plan = small_plan()
    state, corpus = new_state(plan), Corpus(plan)
    step(plan, state, corpus)
    if poison == "weight":
        with torch.no_grad():
            state.model.norm_f.weight[3] = math.nan
    else:
        state.model.wte.weight.register_hook(lambda grad: grad * math.nan)
    before = [p.clone() for p in state.model.parameters()]
    layer = "norm_f.weight" if poison == "weight" else "wte.weight"
    with pytest.raises(GptmillError, match=rf"step 2: .*sequences 4 to 7.* {layer}"):
        step(plan, state, corpus)
    for now, then in zip(state.model.parameters(), before):
        np.testing.assert_array_equal(now.detach().numpy(), then.detach().numpy())


def test_float16_overflow_skips_the_update_and_lowers_the_scale() -> None:
    plan = small_plan()
    state, corpus = new_state(plan), Corpus(plan)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    handle = state.model.wte.weight.register_hook(lambda grad: grad * math.inf)
    before = [p.clone() for p in state.model.parameters()]
    assert step(plan, state, corpus).skipped
    assert state.scaler.get_scale() == 2.0**7
    assert all(torch.equal(a, b) for a, b in zip(state.model.parameters(), before))
    handle.remove()
    assert not step(plan, state, corpus).skipped
    assert not all(torch.equal(a, b) for a, b in zip(state.model.parameters(), before))
