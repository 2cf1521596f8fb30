"""NVIDIA GPUs as the driver's own tools list them, without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 10.0  # seconds; a wedged driver makes nvidia-smi hang for good
MIB = 2**20


@dataclass(frozen=True)
class Gpu:
    """One GPU. ``memory`` [bytes] is None and ``capability`` (0, 0) when the driver does not say."""

    name: str
    memory: int | None
    capability: tuple[int, int]
    index: str = ""
    uuid: str = ""


def gpus(root: Path = Path("/")) -> list[Gpu]:
    """GPUs that CUDA would show to this process, in its order; empty without a driver."""
    # CUDA itself is steered by this variable, so a GPU that it hides does not exist for torch either
    return visible(_installed(root), os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible(installed: list[Gpu], wanted: str | None) -> list[Gpu]:
    """Apply CUDA_VISIBLE_DEVICES: indices or UUIDs, cut at the first one that does not exist; empty hides all.

    Source: CUDA C++ Programming Guide, "CUDA Environment Variables".
    """
    if wanted is None or not installed:
        return installed
    chosen: list[Gpu] = []
    for token in (part.strip() for part in wanted.split(",")):
        if token.startswith("MIG-"):  # a slice: neither its memory nor its speed is the card's
            chosen.append(Gpu(f"{installed[0].name} MIG", None, installed[0].capability))
            continue
        gpu = next(
            (g for g in installed if g.index == token or (token[:4] == "GPU-" and g.uuid.startswith(token))), None
        )
        if gpu is None:
            break
        chosen.append(gpu)
    return chosen


def parse(listing: str) -> list[Gpu]:
    """Read nvidia-smi's CSV: index, uuid, name, memory [MiB], compute capability."""
    found: list[Gpu] = []
    for line in listing.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 5:  # a warning, or 'No devices were found'
            continue
        index, uuid, name, memory, capability = cells
        major, _, minor = capability.partition(".")
        known = major.isdecimal() and minor.isdecimal()
        found.append(
            Gpu(
                name=name,
                memory=int(memory) * MIB if memory.isdecimal() else None,  # '[N/A]' where memory is shared with the CPU
                capability=(int(major), int(minor)) if known else (0, 0),
                index=index,
                uuid=uuid,
            )
        )
    return found


def _installed(root: Path) -> list[Gpu]:
    driver = root / "proc/driver/nvidia/gpus"
    if shutil.which("nvidia-smi"):
        found = parse(_listing())
        if found:
            return found
    # a container may have the driver without its tools: then only the names are known
    return [
        Gpu(_model(folder / "information"), None, (0, 0), index=str(index))
        for index, folder in enumerate(sorted(driver.glob("*")))
    ]


def _listing() -> str:
    fields = "index,uuid,name,memory.total,compute_cap"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _model(information: Path) -> str:
    try:
        lines = information.read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("Model:")), "NVIDIA GPU")
