"""What an optimizer may do to gradients before they are clipped all together: ``before_clip(norms)``, where it has one."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def before_clip(optimizer: torch.optim.Optimizer, norms: Sequence[float]) -> None:
    """Let the optimizer treat the gradients, which are all there and unscaled.

    Args:
        norms: global gradient norms of the steps before, as they were then.
    """
    treat = getattr(optimizer, "before_clip", None)
    if treat is not None:
        treat(norms)
