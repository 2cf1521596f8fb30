"""SGD with momentum: one moment, and no scaling by the gradient's size, so its rates are far above Adam's."""

from __future__ import annotations

import torch
from torch import nn

from gptmill.optim.groups import decay_groups
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.plan.types import Plan


@OPTIMIZERS.register("sgd")
def sgd(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Weight decay is added to the gradient, as PyTorch does: momentum multiplies it by 1 / (1 - momentum).

    Not the fused kernel: in torch 2.13 it fails when a weight gets its first gradient later than others.
    """
    groups = decay_groups(model, plan.weight_decay)
    return torch.optim.SGD(groups, lr=plan.learning_rate, momentum=plan.momentum)
