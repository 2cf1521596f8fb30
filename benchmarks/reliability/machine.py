"""What the figures depend on, and what a trial needs of a machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


class NotHere(Exception):
    """This machine cannot run a part; the message says why."""


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load": round(os.getloadavg()[2], 1),  # over 15 minutes: what else computes here moves every figure in seconds
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def shell(*words: str | Path) -> None:
    """Run a system command; raises NotHere with its words when it fails."""
    try:
        subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NotHere(f"{words[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        raise NotHere(f"{' '.join(map(str, words))}: {error.stderr.strip()}") from error


def require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise NotHere(f"{what} takes root")
