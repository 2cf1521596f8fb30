"""Which process this is, and the company it keeps. The only file that reads torchrun's environment."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptmill.errors import TryAgain, UserError

LONGEST = 120  # characters that are quoted of another's message
HEARTBEAT = "GPTMILL_HEARTBEAT"  # names the folder in which a supervised process tells that it is alive


@dataclass(frozen=True)
class Place:
    """This process among its peers, as torchrun counts them."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1  # processes on this machine


def find_place() -> Place:
    """Read RANK, LOCAL_RANK and WORLD_SIZE; without torchrun this is the only process.

    Raises:
        UserError: they are no numbers, or tell of several processes and not where those meet.
    """
    try:
        rank, local_rank, world_size = (
            int(os.environ.get(name, start)) for name, start in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
        )
        place = Place(rank, local_rank, world_size, int(os.environ.get("LOCAL_WORLD_SIZE", world_size)))
    except ValueError as error:
        raise UserError(f"RANK, LOCAL_RANK, WORLD_SIZE: {error}; torchrun sets them, else leave them unset") from None
    if place.world_size > 1 and not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        raise UserError(
            f"WORLD_SIZE={place.world_size}: no MASTER_ADDR and MASTER_PORT; start the processes with torchrun, "
            "or unset WORLD_SIZE to train in this one"
        )
    return place


def heartbeat_folder() -> Path | None:
    """Where a supervisor wants to hear from this process; None without one."""
    named = os.environ.get(HEARTBEAT)
    return Path(named) if named else None


def ready_for_processes(folder: Path, processes: int) -> None:
    """Set what the processes that this one starts inherit: where to tell of themselves, and to talk on this machine only."""
    loopback = "lo" if sys.platform == "linux" else "lo0"
    os.environ |= {HEARTBEAT: str(folder), "GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    # torch's agent takes these over, also one that nohup has had ignored
    heard = [
        name for name in ("SIGTERM", "SIGINT", "SIGHUP") if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN
    ]
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = ",".join(heard)


def environment_of_run(beats: Path, place: int, places: int, gpus: list[str]) -> dict[str, str]:
    """What a process inherits that trains beside others of a study: its GPU, or its share of the cores.

    Args:
        beats: where it is to tell of itself.
        place: which of the ``places`` it has, from 0.
        gpus: as CUDA_VISIBLE_DEVICES names them; several places may share one.
    """
    environment = {**os.environ, HEARTBEAT: str(beats)}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
    elif places > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // places)))
    return environment


@contextmanager
def joined(place: Place) -> Iterator[None]:
    """Be one of the group of processes while the block runs, and leave it however the block ends. Alone: nothing.

    Raises:
        TryAgain: another process of the group is gone.
    """
    if place.world_size == 1:
        yield
        return
    import torch
    from torch import distributed

    from gptmill.parallel.meeting import fresh_store

    # gloo carries what is decided on the host, NCCL what is computed on a GPU
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=fresh_store(place), rank=place.rank, world_size=place.world_size)
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise TryAgain(
                f"rank {place.rank}: lost another process of this run ({in_short(str(error))}), see what that one says; "
                "the same command with --resume goes on from the newest checkpoint"
            ) from error
        raise
    finally:
        distributed.destroy_process_group()
        gc.collect()  # DDP's cycles hold the group, whose threads must have ended before the interpreter does


def in_short(text: str) -> str:
    """What gloo or NCCL says, without where that stands in its source, what it advises, and the stack below it."""
    first = re.sub(r"\[?(/[\w.+-]+)+:\d+\]?[:,]? *", "", text.strip().partition("\n")[0])
    return first.partition(". ")[0][:LONGEST].strip(" :,.")


def tell(place: Place, facts: Any = None) -> Any:
    """What the first process says, heard by all of them; alone: just that. Every process of the group must take part."""
    if place.world_size == 1:
        return facts
    import torch
    from torch import distributed

    said = [facts]
    distributed.broadcast_object_list(said, src=0, device=torch.device("cpu"))
    return said[0]


def use_own_gpu(place: Place, device: str) -> None:
    """Make ``cuda`` mean the GPU of this process: each process of a group has its own.

    Raises:
        UserError: there are more processes than GPUs.
    """
    if place.world_size == 1 or not device.startswith("cuda"):
        return
    import torch

    if place.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"rank {place.rank}: process {place.local_rank + 1} of this machine, which has "
            f"{torch.cuda.device_count()} GPUs; try --nproc_per_node={torch.cuda.device_count()}"
        )
    torch.cuda.set_device(place.local_rank)


def ask_for_determinism() -> None:
    """Let torch use deterministic kernels only; call before the first CUDA call, when cuBLAS reads its variable."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
