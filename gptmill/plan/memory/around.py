"""What is held around the tensors: workspaces, what an allocator cannot put to use, contexts, and the host's side."""

from __future__ import annotations

import re

from gptmill.plan.memory.network import Setting
from gptmill.plan.types import Plan

MIB = 2**20
# cuBLAS keeps a workspace for each thread that multiplies, and backward has one of its own: 32 MiB on Hopper and later,
# 8 MiB before (aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize)
HOPPER = re.compile(r"\b(G?H[12]00|GB?[23]00)\b")
CONTEXT = {"cuda": 500 * MIB}
PYTHON = 300 * MIB


def overhead_of(s: Setting, tensors: int, device_name: str) -> int:
    if s.device == "cuda":
        return 2 * (32 if HOPPER.search(device_name) else 8) * MIB
    return 40 * MIB + tensors // 20


def context_of(device: str) -> int:
    return CONTEXT.get(device, PYTHON)


def host_of(plan: Plan, s: Setting, tensors: int) -> int:
    """Bytes of this process in host memory at its worst: in a step on a CPU, or while a checkpoint is saved."""
    if s.device == "cpu":
        step = PYTHON + tensors + overhead_of(s, tensors, plan.device_name)
        return max(step, PYTHON + 24 * plan.params)
    return PYTHON + 24 * plan.params
