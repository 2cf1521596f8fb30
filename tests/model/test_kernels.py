"""Attention kernels beside a loop that anyone can check."""

from __future__ import annotations

import math

import pytest
import torch

from gptmill.model.kernels import ATTENTION
from gptmill.shapes import ModelShape


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
@pytest.mark.parametrize("window", [0, 1, 3, 12, 100])
@pytest.mark.parametrize("new", [1, 5, 12], ids=lambda n: f"{n}-new")
def test_every_query_mixes_the_values_it_may_see(name: str, n_kv_head: int, window: int, new: int) -> None:
    shape = ModelShape(n_head=4, n_embd=24, block_size=12, n_kv_head=n_kv_head, sliding_window=window)
    generator = torch.Generator().manual_seed(0)
    q_HTD = torch.randn(4, 12, 6, dtype=torch.float64, generator=generator)
    k_GSD, v_GSD = torch.randn(2, n_kv_head, 12, 6, dtype=torch.float64, generator=generator)
    expected_HTD = torch.empty_like(q_HTD)
    for head in range(4):
        group = head * n_kv_head // 4
        for t in range(12):
            seen = [s for s in range(12) if s <= t and (window == 0 or t - s < window)]
            score = [math.exp(float(q_HTD[head, t] @ k_GSD[group, s]) / math.sqrt(6)) for s in seen]
            expected_HTD[head, t] = sum(w * v_GSD[group, s] for w, s in zip(score, seen)) / sum(score)
    kernel = ATTENTION[name](shape, site=0).double().eval()
    mixed_HTD = kernel(q_HTD[None, :, -new:], k_GSD[None], v_GSD[None], None)[0]
    torch.testing.assert_close(mixed_HTD, expected_HTD[:, -new:], rtol=1e-12, atol=1e-12)
