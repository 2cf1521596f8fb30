"""The chunked vocabulary loss against torch's whole one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from gptmill.model.gpt import build
from gptmill.model.loss import CHUNK_ELEMENTS, chunked_cross_entropy, penalized_cross_entropy, vocabulary_loss
from gptmill.model.penalties import PENALTIES
from gptmill.shapes import ModelShape, Penalty
from gptmill.targets import IGNORE


def problem(dtype: torch.dtype, ignored: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden_NC = torch.randn(37, 16, generator=generator, dtype=dtype, requires_grad=True)
    weight_VC = torch.randn(101, 16, generator=generator, dtype=dtype, requires_grad=True)
    targets_N = torch.randint(101, (37,), generator=generator)
    targets_N[:ignored] = IGNORE
    return hidden_NC, weight_VC, targets_N


@pytest.mark.parametrize("rows", [1, 5, 36, 37, 1000])
@pytest.mark.parametrize("ignored", [0, 9])
def test_loss_and_gradients_equal_the_plain_ones_in_float64(rows: int, ignored: int) -> None:
    hidden_NC, weight_VC, targets_N = problem(torch.float64, ignored)
    plain = F.cross_entropy(hidden_NC @ weight_VC.T, targets_N)
    want = torch.autograd.grad(plain * 0.3, (hidden_NC, weight_VC))
    loss = chunked_cross_entropy(hidden_NC, weight_VC, targets_N, rows)
    got = torch.autograd.grad(loss * 0.3, (hidden_NC, weight_VC))
    torch.testing.assert_close(loss, plain, rtol=1e-12, atol=0)
    for g, w in zip(got, want):
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-14)


def test_bfloat16_stays_within_its_rounding_of_float32() -> None:
    hidden_NC, weight_VC, targets_N = problem(torch.float32)
    plain = F.cross_entropy(hidden_NC @ weight_VC.T, targets_N)
    want = torch.autograd.grad(plain, (hidden_NC, weight_VC))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = chunked_cross_entropy(hidden_NC, weight_VC, targets_N, 8)
    got = torch.autograd.grad(loss, (hidden_NC, weight_VC))
    assert abs(loss.item() - plain.item()) < 0.03
    for g, w in zip(got, want):
        assert (g - w).norm() < 0.02 * w.norm()


class Largest(TorchDispatchMode):
    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numel = max(self.numel, out.numel())
        return out


def test_training_never_holds_more_than_one_chunk_of_logits() -> None:
    hidden_NC, weight_VC, targets_N = problem(torch.float32)
    with Largest() as seen:
        chunked_cross_entropy(hidden_NC, weight_VC, targets_N, 4).backward()
    assert seen.numel == max(101 * 16, 4 * 101, 37 * 16)
    with Largest() as seen:
        F.cross_entropy(hidden_NC @ weight_VC.T, targets_N).backward()
    assert seen.numel == 37 * 101


@pytest.mark.parametrize("penalty", [None, Penalty("neg_entropy", 0.1, 5)])
def test_all_logits_at_once_are_the_same_loss(monkeypatch: pytest.MonkeyPatch, penalty: Penalty | None) -> None:
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 20 * 101)
    hidden_NC, weight_VC, targets_N = problem(torch.float64)
    found = []
    for chunked, largest in ((True, 20 * 101), (False, 37 * 101)):
        with Largest() as seen:
            loss = vocabulary_loss(hidden_NC[None], weight_VC, targets_N[None], penalty, chunked=chunked)
        assert seen.numel == largest
        found.append((loss, *torch.autograd.grad(loss.flatten()[0], (hidden_NC, weight_VC))))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14)


def test_a_model_without_chunks_makes_all_logits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = ModelShape(n_layer=1, n_head=1, n_embd=8, block_size=16, vocab_size=101, ffn_dim=8)
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 10 * 101)
    for chunked, largest in ((True, 10 * 101), (False, 16 * 101)):
        with Largest() as seen:
            build(replace(shape, chunked_loss=chunked), seed=1)(*torch.zeros(2, 1, 16, dtype=torch.int64))
        assert seen.numel == largest


def penalty_of(kind: str, logits_NV: torch.Tensor, k: int) -> torch.Tensor:
    """Each as the system that has it writes it down, on whole logits; the entropy without the 1e-10 in its logarithm."""
    p_NV = torch.softmax(logits_NV, -1)
    return {
        "non_max_sum": lambda: 1 - p_NV.max(-1).values,
        "neg_max_prob": lambda: -p_NV.max(-1).values,
        "neg_entropy": lambda: torch.distributions.Categorical(probs=p_NV).entropy(),
        "top_k_mass": lambda: 1 - p_NV.topk(k).values.sum(-1),
    }[kind]()


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("rows", [1, 7, 8, 35, 1000])
@pytest.mark.parametrize("ignored", [0, 9])
def test_a_penalty_and_its_gradients_equal_autograds_on_whole_logits(kind: str, rows: int, ignored: int) -> None:
    hidden_NC, weight_VC, targets_N = problem(torch.float64, ignored)
    hidden_BTC, targets_BT = hidden_NC[:35].reshape(5, 7, 16), targets_N[:35].reshape(5, 7)
    logits_NV = hidden_NC[:35] @ weight_VC.T
    counts_BT = targets_BT != IGNORE
    counts_BT[:, -1] = False
    values_N = penalty_of(kind, logits_NV, 3)[counts_BT.flatten()]
    ce, mean = F.cross_entropy(logits_NV, targets_N[:35]), values_N.mean()
    largest = torch.softmax(logits_NV, -1).max(-1).values[counts_BT.flatten()].mean()
    plain = ce + 0.7 * mean
    want = torch.autograd.grad(plain * 0.3, (hidden_NC, weight_VC), retain_graph=True)
    parts_4 = penalized_cross_entropy(hidden_BTC, weight_VC, targets_BT, Penalty(kind, 0.7, 3), rows)
    torch.testing.assert_close(parts_4, torch.stack([plain, ce, mean, largest]), rtol=1e-12, atol=1e-14)
    got = torch.autograd.grad(parts_4[0] * 0.3, (hidden_NC, weight_VC))
    for g, w in zip(got, want):
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-14)
    with torch.no_grad():
        told_4 = penalized_cross_entropy(hidden_BTC, weight_VC, targets_BT, Penalty(kind, 0.7, 3), rows)
    torch.testing.assert_close(told_4, parts_4.detach(), rtol=1e-14, atol=0)


def test_more_tokens_than_there_are_have_all_of_the_mass() -> None:
    hidden_NC, weight_VC, targets_N = problem(torch.float64)
    shaped = (hidden_NC.reshape(1, 37, 16), weight_VC, targets_N.reshape(1, 37))
    parts_4 = penalized_cross_entropy(*shaped, Penalty("top_k_mass", 1.0, 102))
    assert abs(parts_4[2].item()) < 1e-14


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_penalty_takes_no_more_memory_than_the_chunk_has_anyway(kind: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    hidden_BTC = torch.randn(4, 64, 16, generator=generator, requires_grad=True)
    weight_VC = torch.randn(5000, 16, generator=generator, requires_grad=True)
    targets_BT = torch.randint(5000, (4, 64), generator=generator)

    def peak(work: Callable[[], torch.Tensor]) -> int:
        """By torch's own allocator."""
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                loss = work()[0]
            loss.backward()
        assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
        found = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
        return max(accumulate(event.nbytes() for event in sorted(found, key=lambda event: event.start_ns())))

    plain = peak(lambda: chunked_cross_entropy(hidden_BTC.flatten(0, 1), weight_VC, targets_BT.flatten(), 64)[None])
    more = peak(lambda: penalized_cross_entropy(hidden_BTC, weight_VC, targets_BT, Penalty(kind, 0.1, 5), 64))
    assert plain > 2 * 64 * 5000 * 4 and more < 1.02 * plain
