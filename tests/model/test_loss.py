"""The chunked vocabulary loss against torch's whole one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from gptmill.model.loss import IGNORE, chunked_cross_entropy


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


def test_training_never_holds_more_than_one_chunk_of_logits() -> None:
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.numel = max(self.numel, out.numel())
            return out

    hidden_NC, weight_VC, targets_N = problem(torch.float32)
    with Largest() as seen:
        chunked_cross_entropy(hidden_NC, weight_VC, targets_N, 4).backward()
    assert seen.numel == max(101 * 16, 4 * 101, 37 * 16)
    with Largest() as seen:
        F.cross_entropy(hidden_NC @ weight_VC.T, targets_N).backward()
    assert seen.numel == 37 * 101
