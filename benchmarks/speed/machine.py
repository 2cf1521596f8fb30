"""What the figures depend on: the machine, and the fastest that it can do."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.speed.sides import PEERS


def machine(device: str) -> dict[str, Any]:
    """Two processors of one name may differ by a factor of two: their family and model tell them apart."""
    import torch

    from gptmill.plan.hardware import detect_machine

    return {
        "processor": detect_machine(device).name,
        "cpu": cpu(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Such as 'AMD EPYC, family 25, model 17'; less where the system tells less."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    fields = dict(re.findall(r"^(model name|cpu family|model)\s*: (.+)$", text, re.MULTILINE))
    if not fields:
        return platform.processor() or platform.machine()
    told = {"cpu family": "family", "model": "model"}
    return ", ".join(
        [fields.get("model name", ""), *(f"{word} {fields[key]}" for key, word in told.items() if key in fields)]
    )


def matmul_peak(device: str, environment: dict[str, str] | None = None) -> dict[str, float]:
    """FLOP/s by precision, and the bandwidth of memory [bytes/s]."""
    words = [sys.executable, str(PEERS / "peak.py"), device]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    found: dict[str, float] = json.loads(done.stdout)
    return found
