"""The k lowest of very many numbers that lie in several tensors, exactly k, without sorting or joining them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LOW_BITS = 21  # of a key; the 11 above are counted


def key_of(score: Tensor) -> Tensor:
    """int32 in the order of the float32 score; -0.0 equals 0.0."""
    bits = (score.float() + 0.0).view(torch.int32)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def threshold(parts: Sequence[Callable[[], Tensor]], k: int) -> tuple[int, int]:
    """The k-th lowest key, and how many of the keys equal to it are among the k lowest.

    A histogram of the leading bits (sign, exponent, two of the mantissa) says in which of its bins the k-th lies; only
    what is in that bin, a few percent, is looked at one by one. No more than one part is held at a time besides.

    Args:
        parts: each makes its keys, any shape; called twice.
        k: from 1 to the number of keys.
    """
    offset = 2 ** (31 - LOW_BITS)
    counts = torch.stack([torch.bincount(_high(part()) + offset, minlength=2 * offset) for part in parts]).sum(0)
    up_to = counts.cumsum(0).cpu()
    high = int(torch.searchsorted(up_to, k))  # the first bin with k keys up to its end
    left = k - (int(up_to[high - 1]) if high else 0)
    near = torch.cat([_within(part().flatten(), high - offset) for part in parts])
    found = near.kthvalue(left).values
    return int(found), left - int((near < found).sum())


def _high(keys: Tensor) -> Tensor:
    return keys.flatten() >> LOW_BITS


def _within(keys: Tensor, high: int) -> Tensor:
    return keys[(keys >> LOW_BITS) == high]
