"""Among three copies, the one that differs is named."""

from __future__ import annotations

import pytest
import torch
from torch import distributed

from gptmill.train.agreement import checksum, others_disagree
from tests.train.small import new_state, small_plan


@pytest.mark.parametrize(
    ("flips", "says"),
    [
        ((0, 0, 0), None),
        ((0, 1, 0), "the weights of rank 1 are not those of the others"),
        ((0, 1, 0, 2), "the weights of ranks 1, 3 are not those of the others"),
        ((0, 1), "the weights of ranks 0, 1 are not the same, and it cannot be told whose are wrong"),
    ],
)
def test_the_copies_that_differ_are_named(
    flips: tuple[int, ...], says: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = new_state(small_plan()).model
    number = next(iter(model.parameters())).detach().view(-1)[7:8].view(torch.int32)
    told = []
    for bit in flips:  # what each process would tell, one number of its weights flipped
        number ^= bit
        told.append(checksum(model))
        number ^= bit
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: len(flips))
    monkeypatch.setattr(distributed, "all_gather", lambda found, _: [a.copy_(b) for a, b in zip(found, told)])
    assert others_disagree(model) == says
