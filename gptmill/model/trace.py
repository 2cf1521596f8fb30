"""Parameters and FLOPs of a model with parts that ``plan`` has no formula for, counted by PyTorch on the meta device."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gptmill.model.gpt import GPT
from gptmill.shapes import Counts, ModelShape


def trace(shape: ModelShape) -> Counts:
    """Build the shape without memory, run one sequence forward and backward, and count.

    The math backend, because fused attention kernels are counted as nothing on some devices.
    """
    with torch.device("meta"):
        model = GPT(shape)
        ids_BS = torch.zeros(1, shape.block_size + 1, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(ids_BS[:, :-1], ids_BS[:, 1:]).backward()
    params = sum(p.numel() for p in model.parameters())
    positions = sum(p.numel() for p in model.position.parameters())
    return Counts(params, params - positions, counter.get_total_flops() // shape.block_size)
