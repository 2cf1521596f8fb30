"""The machine a run takes. A GPU is of use only if this torch build can drive it; known after torch is imported."""

from __future__ import annotations

import sys

from gptmill.config.resolve import Resolved
from gptmill.errors import UserError
from gptmill.plan.hardware import detect_machine
from gptmill.plan.types import Machine


def usable_machine(resolved: Resolved) -> Machine:
    """The machine the config asks for; the CPU where torch cannot use the GPU, unless a flag named that.

    Raises:
        UserError: --device asked for what is not here.
    """
    machine = detect_machine(resolved.config.device, demanded=resolved.origins["device"].startswith("--"))
    if machine.kind != "cuda":
        return machine
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
