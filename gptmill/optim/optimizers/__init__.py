"""Update rules: ``OPTIMIZERS[name](model, plan)`` is a torch optimizer; one file each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from gptmill.plan.types import Plan
from gptmill.registry import Registry

OPTIMIZERS: Registry[Callable[[nn.Module, Plan], torch.optim.Optimizer]] = Registry("optimizer")

# they register themselves
from gptmill.optim.optimizers import adam as adam  # noqa: E402
from gptmill.optim.optimizers import adamwspam as adamwspam  # noqa: E402
from gptmill.optim.optimizers import muon as muon  # noqa: E402
from gptmill.optim.optimizers import schedule_free as schedule_free  # noqa: E402
from gptmill.optim.optimizers import sgd as sgd  # noqa: E402
