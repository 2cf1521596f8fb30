"""FSDP2: every process keeps a share of each parameter, its gradient and its moments, and fetches the rest when it computes.

Source: Zhao et al. 2023, arXiv:2304.11277; PyTorch's ``fully_shard``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from gptmill.parallel.ddp import Ddp
from gptmill.plan.types import Plan


class Fsdp(Ddp):
    """A unit that is fetched at once is a block; what is outside of all blocks is one more, and stays for the step."""

    sharded = True

    def shard(self, model: nn.Module, plan: Plan) -> None:
        kind = plan.device.split(":")[0]
        options: dict[str, Any] = {"mesh": init_device_mesh(kind, (self.place.world_size,))}
        if kind == "cuda" and plan.dtype == "bfloat16":
            # sent and held as the matmuls take them; summed in float32
            policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
            options["mp_policy"] = policy
        for block in blocks(model):
            if plan.compile:
                block.compile()
            if sum(p.numel() for p in block.parameters()) >= plan.fsdp_min_num_params:
                fully_shard(block, **options)
        fully_shard(model, **options)

    def wrap(self, model: nn.Module, plan: Plan) -> Callable[..., Tensor]:
        """The model itself: its blocks are compiled one by one, and what fetches weights stays outside of them."""
        units = [module for module in model.modules() if isinstance(module, FSDPModule)]

        def forward(*tensors: Tensor | None) -> Tensor:
            found: Tensor = model(*tensors)
            if (
                not torch.is_grad_enabled()
            ):  # else backward does: what was fetched is let go, and shares are there again
                for unit in units:
                    unit.reshard()
            return found

        return forward

    def sync(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged in every micro-step: kept until the last one, each process would hold all of them."""
        return nullcontext()

    def _norm(self, grads: list[Tensor]) -> Tensor:
        norm = super()._norm(grads)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The layers that a model repeats."""
    for part in model.children():
        if isinstance(part, nn.ModuleList):
            yield from part
