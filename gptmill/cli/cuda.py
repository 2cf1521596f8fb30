"""A GPU in the machine is of use only if this torch build can drive it; known after torch is imported, not before."""

from __future__ import annotations

import sys

from gptmill.config.resolve import Resolved
from gptmill.errors import UserError
from gptmill.plan.hardware import detect_machine
from gptmill.plan.types import Machine


def machine_for_torch(machine: Machine, resolved: Resolved) -> Machine:
    """Return the GPU if torch can use it; else the CPU, unless a flag named the GPU.

    Raises:
        UserError: --device asked for CUDA.
    """
    import torch

    if torch.cuda.is_available():
        return machine
    says = f"torch {torch.__version__} cannot use the {machine.name} in this machine"
    if resolved.origins["device"].startswith("--") and resolved.config.device != "auto":
        raise UserError(
            f"--device={resolved.config.device}: {says}; install a CUDA build of torch, or use --device=auto"
        )
    print(f"device: {says}; training on the CPU", file=sys.stderr)
    return detect_machine("cpu")
