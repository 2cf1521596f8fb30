"""Where a command computes. A GPU is of use only if this torch build can drive it, known after torch is imported."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from gptmill.cli.say import say
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
    say(f"device: {says}; training on the CPU")
    return detect_machine("cpu")


def find_device(device: str, *, demanded: bool) -> str:
    """The device to use, found without torch.

    Args:
        demanded: a flag named it. One that a config file names was another machine's, perhaps.

    Raises:
        UserError: unknown, or demanded and not here.
    """
    machine = detect_machine(device, demanded=demanded)
    if device == "auto":
        return machine.kind
    if device.partition(":")[0] != machine.kind:
        say(f"device={device}: not on this machine; going on with {machine.kind}")
        return machine.kind
    return device


def usable_device(device: str, *, demanded: bool) -> str:
    """The same one, or the CPU where torch cannot use it; imports torch."""
    import torch

    if not device.startswith("cuda") or torch.cuda.is_available():
        return device
    if demanded:
        raise UserError(f"--device={device}: torch {torch.__version__} cannot use CUDA here; try --device=auto")
    say(f"device={device}: torch {torch.__version__} cannot use CUDA here; going on with cpu")
    return "cpu"


def autocast(device: str, dtype: str) -> AbstractContextManager[object]:
    """Matmuls in dtype while generating; 'auto' is float32.

    A step of one token is so little work that on small models casting costs more than bfloat16 saves. And in bfloat16
    a sample's rounding depends on how many are made beside it, enough to change its text: the seed alone would not
    decide it.
    """
    if dtype in ("auto", "float32"):
        return nullcontext()
    import torch

    return torch.autocast(device.partition(":")[0], dtype=getattr(torch, dtype))
