"""ZeRO-1: every process has the whole model, and keeps the optimizer's moments of its share of the parameters only.

Source: Rajbhandari et al. 2020, arXiv:1910.02054; PyTorch's ZeroRedundancyOptimizer.
"""

from __future__ import annotations

import inspect

import torch
from torch.distributed.optim import ZeroRedundancyOptimizer

from gptmill.parallel.ddp import Ddp


class Zero1(Ddp):
    """DDP averages the gradients; each process updates its share of the parameters and sends them to the others."""

    sharded = True

    def share_out(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        kind = type(optimizer)
        known = inspect.signature(kind).parameters
        options = {name: value for name, value in optimizer.defaults.items() if name in known}
        groups = [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
        return ZeroRedundancyOptimizer(groups, optimizer_class=kind, **options)
