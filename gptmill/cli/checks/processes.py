"""What several processes or several GPUs would talk through."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from gptmill.cli.checks.base import MISSING, OK, PROBLEM, Found

RANKS = 2
PATIENCE = 30  # seconds for two processes to find each other
SUM = """
import datetime, sys, torch
import torch.distributed as dist
rank, size, store, patience = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
patience = datetime.timedelta(seconds=patience)
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=patience)
x = torch.tensor([10.0**rank])
dist.all_reduce(x)
dist.destroy_process_group()
sys.exit(0 if x.item() == sum(10.0**r for r in range(size)) else 3)
"""


def gloo() -> Found:
    """A sum over two processes of this machine."""
    import torch.distributed

    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        return Found(MISSING, "this torch was built without it: one process only", "another build of torch")
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder).absolute() / "store")
        ranks = [
            subprocess.Popen(
                [sys.executable, "-c", SUM, str(rank), str(RANKS), store, str(PATIENCE)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for rank in range(RANKS)
        ]
        codes = [rank.wait() for rank in ranks]
    if any(codes):
        says = "two processes did not add up" if 3 in codes else "two processes of this machine could not talk"
        return Found(PROBLEM, f"{says} (exit codes {codes})", "a firewall on the loopback device; or one process only")
    return Found(OK, f"{RANKS} processes of this machine add up")


def nccl() -> Found:
    """What GPUs talk through, by a sum over a group of one."""
    import torch
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_nccl_available():
        return Found(MISSING, "this torch was built without it: one GPU only", "a CUDA build of torch for Linux")
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder).absolute() / "store"
        dist.init_process_group("nccl", init_method=f"file://{store}", rank=0, world_size=1)
        x = torch.ones(8, device="cuda")
        dist.all_reduce(x)
        total = x.sum().item()
        dist.destroy_process_group()
    version = ".".join(map(str, torch.cuda.nccl.version()))
    if total != 8:
        return Found(PROBLEM, f"{version}: a sum over one GPU is wrong", "another version of torch")
    return Found(OK, version, figures={"version": version})
