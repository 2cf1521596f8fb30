"""What a step needs from the device: precision, token transfer, dropout keys."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gptmill.plan.types import Plan
from gptmill.seeds import splitmix64, stream_key
from gptmill.targets import inputs_and_targets


def autocast(plan: Plan) -> AbstractContextManager[object]:
    """Matmuls in the plan's dtype; weights and optimizer state stay float32."""
    if plan.dtype == "float32":
        return nullcontext()
    return torch.autocast(plan.device.split(":")[0], dtype=getattr(torch, plan.dtype))


def to_device(tokens_BS: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    """Inputs and the targets one to their right, each int64 [B, T], from windows of S = T + 1 tokens."""
    if tokens_BS.min() < 0:  # some are only read
        x_BT, y_BT = _moved(inputs_and_targets(tokens_BS), device)
        return x_BT, y_BT
    ids_BS = _moved(tokens_BS, device)
    return ids_BS[:, :-1], ids_BS[:, 1:]


def _moved(ids: np.ndarray, device: str) -> Tensor:
    here = torch.from_numpy(ids)
    return here.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else here.to(device)


def keep_freed_memory() -> None:
    """Have malloc keep what a CPU step frees, for the next step.

    glibc hands large blocks back to the kernel and faults them in again, page by page, thousands of times a second: up
    to 40% of a step (docs/log.md, 2026-11-20). Other allocators lack the call or ignore it.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**30)


def end_before_others() -> None:
    """Where the machine runs out of memory, have Linux end this process rather than a shell or a scheduler's agent.

    A score that is not 0 was set by someone with a reason, such as Kubernetes.
    """
    score = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):
        if score.read_text().strip() == "0":
            score.write_text("500")


def give_back_memory(device: str) -> None:
    """Hand what is not used any more back to the system: after running out, others than malloc or torch may need it."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def peak_memory(device: str) -> int | None:
    """The most torch has held on the GPU so far [bytes]; None on other devices."""
    return torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else None


def memory_now(device: str) -> dict[str, float]:
    """GB (1e9 bytes): what torch holds on the GPU, now and at most; what this process holds on the host, where Linux tells."""
    found: dict[str, float] = {}
    if device.startswith("cuda"):
        stats = torch.cuda.memory_stats(device)  # one call; each of torch's four functions makes it again
        for name, key in (("allocated", "allocated_bytes.all"), ("reserved", "reserved_bytes.all")):
            found[f"{name}_gb"] = stats.get(f"{key}.current", 0) / 1e9
            found[f"max_{name}_gb"] = stats.get(f"{key}.peak", 0) / 1e9
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
        found["host_gb"] = pages * mmap.PAGESIZE / 1e9
    return found


def dropout_keys(plan: Plan, first: int, count: int) -> Tensor:
    """int32 [count]: what decides dropout for the training sequences from ``first`` on.

    Also seeds torch's generator, for the one kernel (sdpa) whose dropout cannot take keys.
    """
    sequence_B = np.arange(first, first + count, dtype=np.uint64)
    keys_B = splitmix64(stream_key(plan.seed, "dropout"), sequence_B)
    torch.manual_seed(int(keys_B[0] >> np.uint64(1)))
    return torch.from_numpy(keys_B.astype(np.uint32).view(np.int32)).to(plan.device)
