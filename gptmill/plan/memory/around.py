"""What is held around the tensors: workspaces, holes in the heap, contexts, and the host's side."""

from __future__ import annotations

import re
from functools import lru_cache

from gptmill.plan.memory.heap import Heap
from gptmill.plan.memory.network import play
from gptmill.plan.memory.setting import Setting, with_layers
from gptmill.plan.optimizer import FLOAT32, Moments, moments_of, state_bytes
from gptmill.plan.saving import checkpoint_bytes
from gptmill.plan.types import Plan

MIB = 2**20
# BLAS keeps a workspace for each thread that multiplies, and backward has one of its own: 32 MiB on Hopper, Blackwell and
# AMD's, 8 MiB on others (aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize)
LARGE_WORKSPACE = re.compile(r"\bG?[HB][123]00\b|Instinct|Radeon")
CUDA_CONTEXT = 500 * MIB  # assumed: kernels and the driver's own, outside of torch's allocator
# Measured on Linux with torch 2.13 (benchmarks/results/memory_cpu.json): the process when all is imported; what the first
# steps read in of torch's code; and the share of what comes and goes in a step that small, lasting blocks keep from being
# used again, besides one hole of the largest block's size
PYTHON = 304 * MIB
FIRST_STEPS = 35 * MIB
HOLES = 0.15
# Measured (docs/log.md), in twelfths of the bytes of weights and moments: on top of these while a checkpoint is written, and
# on top of the weights while one is read; a GPU's moments are copied to the host besides
SAVING, LOADING = 24, 32
STEPS, MICRO_STEPS, PLAYED = 3, 3, 24  # played; later steps find the heap as these leave it


def overhead_of(s: Setting, tensors: int, plan: Plan) -> int:
    """Bytes on the device beside its tensors."""
    if s.device == "cuda":
        return 2 * (32 if LARGE_WORKSPACE.search(plan.device_name) else 8) * MIB
    if s.device == "cpu":
        heap = reach(s, min(plan.micro_steps, MICRO_STEPS), moments_of(plan))
        return FIRST_STEPS + max(0, heap - tensors) + int(HOLES * (tensors - FLOAT32 * plan.params - state_bytes(plan)))
    return 0


def context_of(device: str) -> int:
    """Bytes on the device before there is any tensor."""
    return {"cuda": CUDA_CONTEXT, "cpu": PYTHON}.get(device, 0)


@lru_cache(maxsize=4096)
def reach(s: Setting, micro_steps: int, moments: Moments) -> int:
    """How far the heap of a CPU process reaches in training [bytes]; from PLAYED layers on by so much a layer."""
    if (more := s.shape.n_layer - PLAYED) > 0:
        deep, shallow = (reach(with_layers(s, n), micro_steps, moments) for n in (PLAYED, PLAYED // 2))
        return deep + more * (deep - shallow) // (PLAYED - PLAYED // 2)
    heap = Heap()
    for numbers in matrices(s):
        heap.take(4 * numbers)
    if s.shape.attention_backend == "manual":
        for _ in range(s.shape.n_layer):
            heap.take(4 * s.shape.block_size**2)
    for step in range(STEPS):
        kept = []
        for micro_step in range(micro_steps):
            tokens = heap.take(8 * s.batch * (s.shape.block_size + 1))
            kept += play(s, accumulated=micro_step > 0, heap=heap).kept
            heap.give(tokens)
        if step == 0:
            for count, model in ((moments.others, outside(s)), (moments.hidden, hidden(s))):
                for numbers in model:
                    for _ in range(count):
                        heap.take(4 * numbers)
        for gradient in kept:
            gradient.release()
    return heap.high + heap.largest


def matrices(s: Setting) -> list[int]:
    """Numbers in each matrix of a model."""
    return outside(s) + hidden(s)


def outside(s: Setting) -> list[int]:
    """Of the layers: embeddings and head."""
    shape = s.shape
    embeddings = [shape.vocab_size * shape.n_embd] * (1 if shape.weight_tying else 2)
    has_table = shape.position_encoding == "learned_absolute" and not s.traced
    return embeddings + ([shape.block_size * shape.n_embd] if has_table else [])


def hidden(s: Setting) -> list[int]:
    """In the layers."""
    shape = s.shape
    if s.traced:
        return [s.traced[1] // shape.n_layer] * shape.n_layer
    C, F = shape.n_embd, shape.ffn_dim
    up = 2 * F if shape.ffn_type == "swiglu" else F
    return [C * (C + 2 * shape.kv_dim), C * C, C * up, F * C] * shape.n_layer


def host_of(plan: Plan, s: Setting, tensors: int, kept: int) -> int:
    """Bytes of this process in host memory at its worst: in a step on a CPU, or while a checkpoint is written or read.

    The pages of a dataset that the system keeps at hand are not counted: it gives them back when asked.

    Args:
        kept: bytes that pruning keeps on the device; saved with the rest.
    """
    windows = 2 * 8 * plan.eval_sequences * (plan.shape.block_size + 1)
    rollback = "rollback" in (plan.on_spike, plan.on_nonfinite)
    saved = checkpoint_bytes(plan)
    snapshot = 2 * saved if rollback else 0  # one to go back to, and the next while it is made
    on_cpu = s.device == "cpu"
    step = tensors + overhead_of(s, tensors, plan) + kept if on_cpu else 0
    held = FLOAT32 * plan.params * on_cpu + state_bytes(plan) + kept * on_cpu
    written = saved - kept
    return (
        PYTHON
        + windows
        + snapshot
        + max(step, held + SAVING * written // 12 + 2 * kept, LOADING * written // 12 + kept)
    )
