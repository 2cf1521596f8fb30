"""Dropout whose mask is a pure function of (seed, sequence, layer), not of a random generator's history.

Each training sequence carries a 32-bit key (int32, from gptmill.seeds). Hashing the key with the element's index decides
what is dropped, so the same sequence is dropped the same way whatever batch, accumulation split, process or device it is
computed in, and a resumed run needs no generator state. On a CPU it is also faster than torch's serial generator
(docs/log.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _mix(x: Tensor) -> Tensor:
    """Scramble int32 values in place; multiplication wraps. Constants: C. Wellons' lowbias32 (2018), arithmetic shifts."""
    x = x.mul_(0x7FEB352D)
    x = x.bitwise_xor_(x >> 15)
    return x.mul_(-0x7B935975)  # 0x846CA68B as a signed 32-bit number


class KeyedDropout(nn.Module):
    """Zero a share ``p`` of the elements and scale the rest by 1 / (1 - p), while training.

    Args:
        site: a number unique to this place in the model, so that no two places drop alike.
    """

    def __init__(self, p: float, site: int) -> None:
        super().__init__()
        self.p = p
        self.site = site

    def forward(self, x: Tensor, keys_B: Tensor | None) -> Tensor:
        """Drop elements of x [B, ...]; identity in eval mode, at p = 0, or without keys."""
        if self.p == 0.0 or keys_B is None or not self.training:
            return x
        with torch.no_grad():
            per_sequence = x[0].numel()
            index_N = _mix(torch.arange(1, per_sequence + 1, dtype=torch.int32, device=x.device))
            site_B = _mix(keys_B + self.site * 0x1F123BB5 % 0x7FFFFFFF)
            bits_BN = _mix(index_N ^ site_B[:, None])
            threshold = int(self.p * 2**32) - 2**31
            keep = (bits_BN >= threshold).view(x.shape)
            scale = keep.to(x.dtype).mul_(1.0 / (1.0 - self.p))
        return x * scale
