"""Which process this is. The only file that reads torchrun's environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gptmill.errors import UserError


@dataclass(frozen=True)
class Place:
    """This process among its peers, as torchrun counts them."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1


def find_place() -> Place:
    """Read RANK, LOCAL_RANK and WORLD_SIZE; without torchrun this is the only process."""
    place = Place(
        *(int(os.environ.get(name, start)) for name, start in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1)))
    )
    if place.world_size > 1:
        raise UserError(
            f"WORLD_SIZE={place.world_size}: training on several processes is not in this version; "
            "run the same command without torchrun"
        )
    return place


def ask_for_determinism() -> None:
    """Let torch use deterministic kernels only; call before the first CUDA call, when cuBLAS reads its variable."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
