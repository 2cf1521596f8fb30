"""Update rules: ``OPTIMIZERS[name](model, plan)`` is a torch optimizer; one file each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from gptmill.plan.types import Plan
from gptmill.registry import Registry

OPTIMIZERS: Registry[Callable[[nn.Module, Plan], torch.optim.Optimizer]] = Registry("optimizer")

from gptmill.optim.optimizers import adamw as adamw  # noqa: E402  registers itself
