"""AdamW, PyTorch's fused kernel.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
"""

from __future__ import annotations

import torch
from torch import nn

from gptmill.optim.groups import decay_groups
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.plan.types import Plan


@OPTIMIZERS.register("adamw")
def adamw(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """One pass over memory for all parameters, instead of a Python loop over them."""
    return torch.optim.AdamW(
        decay_groups(model, plan.weight_decay),
        lr=plan.learning_rate,
        betas=(plan.beta1, plan.beta2),
        eps=plan.eps,
        fused=plan.device.split(":")[0] in ("cpu", "cuda", "mps"),
    )
