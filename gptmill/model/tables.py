"""Numbers that a model holds and does not train: angles, waves, masks."""

from __future__ import annotations

from torch import nn


def fill_tables(model: nn.Module) -> None:
    """Compute them anew: of a model that was built empty they are whatever lay in memory."""
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset) and [*module.buffers(recurse=False)]:
            reset()
