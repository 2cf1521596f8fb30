"""Adam and its two relatives: decoupled weight decay (AdamW), and that with the largest second moment so far (AMSGrad).

All are PyTorch's fused kernels: one pass over memory for all parameters, instead of a Python loop over them.

Source: Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101; Reddi et al. 2018, arXiv:1904.09237.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gptmill.optim.groups import decay_groups, has_fused_kernels
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.plan.types import Plan


def adam_options(plan: Plan) -> dict[str, Any]:
    """What PyTorch's Adam and AdamW take alike."""
    return {
        "lr": plan.learning_rate,
        "betas": (plan.beta1, plan.beta2),
        "eps": plan.eps,
        "amsgrad": plan.amsgrad,
        "fused": has_fused_kernels(plan) or None,  # None: PyTorch's own choice among the others
    }


@OPTIMIZERS.register("adam")
def adam(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Without weight decay: Adam's would be mixed into the moments, which is what AdamW is there to avoid."""
    return torch.optim.Adam(decay_groups(model, 0.0), **adam_options(plan))


@OPTIMIZERS.register("adamw")
@OPTIMIZERS.register("adamwadv")
def adamw(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """The plan says whether with AMSGrad: of adamwadv it always does."""
    return torch.optim.AdamW(decay_groups(model, plan.weight_decay), **adam_options(plan))


@OPTIMIZERS.register("adamwprune")
def adamwprune(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Its base, with numbers of its own that the plan has settled. What it prunes by are the moments of that."""
    return OPTIMIZERS[plan.base_optimizer](model, plan)
