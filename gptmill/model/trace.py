"""A model with parts that ``plan`` has no formula for: parameters, FLOPs and memory, by PyTorch on the meta device."""

from __future__ import annotations

from typing import Any

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


def trace_held(shape: ModelShape) -> int:
    """Bytes that all blocks hold for backward of one sequence in float32, each storage counted once; weights are not."""
    with torch.device("meta"):
        model = GPT(shape)
        ids_BT = torch.zeros(1, shape.block_size, dtype=torch.long)
        keys_B = torch.zeros(1, dtype=torch.int32) if shape.dropout else None
    held: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        held[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model.hidden(ids_BT, keys_B)
    weights = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    del out
    return sum(storage.nbytes() for key, storage in held.items() if key not in weights)
