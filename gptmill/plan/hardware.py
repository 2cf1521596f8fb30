"""What this machine has, found out without torch, and what 'auto' means on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gptmill.config.schema import Config
from gptmill.errors import ConfigError, UserError
from gptmill.plan.nvidia import PATIENCE, gpus
from gptmill.plan.types import Machine
from gptmill.registry import nearest

DEVICES = ["auto", "cpu", "cuda", "mps"]

# Contexts up to this length train faster with the plain kernel on a CPU, by dtype. In bfloat16 longer ones still do, by 1.02 to 1.2 times
# at 1,024, but it holds all scores: docs/adr/0003.
ATTENTION_MANUAL_MAX_CPU = {"bfloat16": 512, "float32": 128, "float16": 128}


def detect_machine(device: str = "auto", *, demanded: bool = True, root: Path = Path("/")) -> Machine:
    """Describe the device a run would use. Takes milliseconds without a GPU; asks nvidia-smi where there is one.

    Args:
        device: auto, cpu, cuda, cuda:N or mps, as in the config; auto prefers cuda, then mps.
        demanded: False = when this machine has no such device, describe the one auto takes; for a config that was
            written elsewhere. A flag demands.
        root: where proc/ and sys/ are.

    Raises:
        UserError: the demanded device is not here; names auto.
    """
    match = re.fullmatch(r"(auto|cpu|mps|cuda)|cuda:([0-9]{1,4})", device)
    if match is None:
        raise ConfigError(f"device={device}: unknown; one of auto, cpu, cuda, cuda:N, mps{nearest(device, DEVICES)}")
    kind, index = match[1] or "cuda", int(match[2] or 0)
    found = _find(kind, index, root)
    if found is None and not demanded and index == 0:
        found = _find("auto", 0, root)
    if found is None:
        raise UserError(f"device={device}: not on this machine; try device=auto, which takes what there is")
    return found


def _find(kind: str, index: int, root: Path) -> Machine | None:
    cores = _cores(root)
    if kind in ("auto", "cuda"):
        found = gpus(root)
        if index < len(found):
            gpu = found[index]
            return Machine("cuda", gpu.name, cores, gpu.memory, bf16=gpu.capability >= (8, 0))
    if kind in ("auto", "mps") and platform.system() == "Darwin" and platform.machine() == "arm64":
        return Machine("mps", _apple_chip(), cores, _host_memory(root), bf16=False)
    return _cpu(root, cores) if kind in ("auto", "cpu") else None


def share_of(machine: Machine, processes: int) -> Machine:
    """What each of several processes on one machine has of it: a GPU of its own, or an equal part of the host's memory."""
    if machine.kind == "cuda" or machine.memory is None:
        return machine
    return replace(machine, memory=machine.memory // processes)


def settle_device(device: str, machine: Machine, world_size: int) -> str:
    """The device by torch's name; among several processes each has the GPU of its own number."""
    return device if device.split(":")[0] == machine.kind and world_size == 1 else machine.kind


def settle_dtype(dtype: str, machine: Machine) -> str:
    """The dtype of matmuls: auto takes bfloat16 where it is faster, float16 on GPUs before Ampere, else float32."""
    if dtype != "auto":
        return dtype
    if machine.bf16:
        return "bfloat16"
    return "float16" if machine.kind == "cuda" else "float32"


def settle_attention(config: Config, machine: Machine) -> str:
    """The attention kernel: auto takes the faster one, and the leaner one where contexts are long."""
    if config.attention_backend != "auto":
        return config.attention_backend
    short = config.block_size <= ATTENTION_MANUAL_MAX_CPU[settle_dtype(config.dtype, machine)]
    # with dropout PyTorch's CPU kernel falls back to the plain formula, and draws its masks serially
    return "manual" if machine.kind == "cpu" and (short or config.dropout > 0) else "sdpa"


def settle_compile(config: Config, machine: Machine) -> bool:
    """Whether the step is compiled: auto does so on CUDA, where it pays within minutes."""
    return machine.kind == "cuda" if config.compile == "auto" else config.compile


def _cpu(root: Path, cores: int) -> Machine:
    """A CPU gains from bfloat16 when it multiplies it in hardware; others emulate it, slower than float32."""
    cpuinfo = _read(root / "proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    bf16 = flags is not None and not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags[1].split())
    return Machine("cpu", name[1] if name else platform.machine(), cores, _host_memory(root), bf16)


def _apple_chip() -> str:
    """'Apple M2 Max', as macOS names the chip that holds processor and GPU."""
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        told = ""
    return told or "Apple GPU"


def _cores(root: Path) -> int:
    """CPU cores this process may use: its affinity, cut by the cgroup's quota (more threads would be throttled)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _cgroups(root, "cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal():  # no limit reads 'max' or -1
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _host_memory(root: Path) -> int | None:
    """Bytes of memory this process may use: the machine's, cut by the cgroup's limit; None when neither is told."""
    limits: list[int] = []
    total = re.search(r"^MemTotal:\s*(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE)
    if total:
        limits.append(int(total[1]) * 1024)
    elif platform.system() == "Darwin":
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for folder in _cgroups(root, "memory"):
        limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
        if limit.isdecimal():
            limits.append(int(limit))
    return min(limits, default=None)


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes of host memory this process could still take, the cgroup's limit included; None when that is not told.

    File cache is given back when memory is asked for, so it counts as free.
    """
    free: list[int] = []
    available = re.search(r"^MemAvailable:\s*(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE)
    if available:
        free.append(int(available[1]) * 1024)
    for folder in _cgroups(root, "memory"):
        limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
        used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
        cache = re.search(r"^(?:total_)?inactive_file (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
        if limit.isdecimal() and used.isdecimal():
            free.append(max(0, int(limit) - int(used) + (int(cache[1]) if cache else 0)))
    return min(free, default=None)


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """Folders with this process's limits, its own cgroup first and then those around it, version 1 or 2.

    Inside a container the path that /proc names may be the host's; the walk up ends at the mount, which is ours.
    """
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = mount / controller if controllers else mount
        own = Path(path.lstrip("/"))
        yield from (base / folder for folder in (own, *own.parents))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
