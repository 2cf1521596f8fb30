"""Keyed dropout: right rate, no pattern, and a function of the sequence alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gptmill.model.dropout import KeyedDropout
from gptmill.model.gpt import build
from gptmill.seeds import splitmix64
from tests.model.shapes import SMALL


def keys(first: int, count: int) -> torch.Tensor:
    return torch.from_numpy(
        splitmix64(7, np.arange(first, first + count, dtype=np.uint64)).astype("uint32").view("int32")
    )


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_masks_are_as_uncorrelated_as_coin_flips(p: float) -> None:
    masks = torch.cat([(KeyedDropout(p, site)(torch.ones(32, 64, 96), keys(0, 32)) == 0).double() for site in range(4)])
    masks_MN = masks.flatten(1)  # M masks of N elements
    M, N = masks_MN.shape
    assert abs(masks_MN.mean().item() - p) < 5 * (p * (1 - p) / (M * N)) ** 0.5
    between_MM = torch.corrcoef(masks_MN).fill_diagonal_(0)
    assert between_MM.abs().max() < 6 / N**0.5
    for lag in (1, 2, 96, 97):
        centred_MN = masks_MN - p
        within = (centred_MN[:, lag:] * centred_MN[:, :-lag]).mean() / (p * (1 - p))
        assert abs(within.item()) < 5 / (M * N) ** 0.5


def test_kept_elements_are_scaled_to_keep_the_mean() -> None:
    out = KeyedDropout(0.25, 0)(torch.ones(2, 1000), keys(0, 2))
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])


def test_dropout_does_not_depend_on_how_the_batch_is_split() -> None:
    model = build(replace(SMALL, dropout=0.3, attention_backend="manual"), seed=1).double()
    ids_BT = torch.randint(SMALL.vocab_size, (6, SMALL.block_size), generator=torch.Generator().manual_seed(0))
    whole = model.hidden(ids_BT, keys(100, 6))
    split = torch.cat([model.hidden(ids_BT[i : i + 2], keys(100 + i, 2)) for i in (0, 2, 4)])
    torch.testing.assert_close(whole, split, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(whole, model.hidden(ids_BT, keys(101, 6)))


def test_eval_mode_and_missing_keys_switch_it_off() -> None:
    drop = KeyedDropout(0.5, 0)
    x = torch.ones(2, 8)
    assert torch.equal(drop(x, None), x)
    assert torch.equal(drop.eval()(x, keys(0, 2)), x)
