"""What keeps a run safe, taken away one at a time: each function is called in the process that trains, and only there.

They reach below gptmill's functions, to what those call, so that a guard stays removed however it is written. A guard
that is not found any more raises: a control that controls nothing must be seen.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import shutil
import stat
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any


def no_fsync() -> None:
    os.fsync = os.fdatasync = lambda fd: None


def no_folder_fsync() -> None:
    real = os.fsync

    def files_only(fd: Any) -> None:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            real(fd)

    os.fsync = files_only


def no_rename() -> None:
    """Write in place: what was meant to appear at once under its name appears there piece by piece."""
    real = os.rename

    def piecewise(source: Any, target: Any, **_: Any) -> None:
        if os.path.islink(source):
            real(source, target)
        elif os.path.isdir(source):
            shutil.copytree(source, target)
            shutil.rmtree(source)
        else:
            shutil.copyfile(source, target)
            os.unlink(source)

    os.rename = os.replace = piecewise  # type: ignore[assignment]


def no_hash() -> None:
    """A SHA-256 that is the same for everything, except for the hash of the result, which is the judge."""
    blind = SimpleNamespace(hexdigest=lambda: "0" * 64, update=lambda data: None)

    def constant(*_: Any, **__: Any) -> Any:
        return blind

    from gptmill.train import members

    everything = {**vars(hashlib), "sha256": constant, "file_digest": constant}
    for module in holding("hashlib"):
        if module.__name__ != members.__name__:
            module.hashlib = SimpleNamespace(**everything)  # type: ignore[attr-defined]


def no_lock() -> None:
    fcntl.flock = fcntl.lockf = lambda *_: None


def no_finite_check() -> None:
    """Every number counts as finite where training looks at one."""
    for module in holding("math"):
        everything = {**vars(math), "isfinite": lambda number: True}
        module.math = SimpleNamespace(**everything)  # type: ignore[attr-defined]


def no_finite_check_of_tensors() -> None:
    """Every tensor counts as finite; the loss and the norm of the gradient are still looked at."""
    import torch

    torch.Tensor.isfinite = lambda self: torch.ones_like(self, dtype=torch.bool)  # type: ignore[method-assign]


def no_step_keyed_order() -> None:
    """Batches counted from the start of the process, as a loader does that begins anew."""
    from gptmill.data.batches import Batches

    real = Batches.take
    first_asked: list[int] = []

    def take(self: Batches, first: int, count: int) -> Any:
        first_asked.append(first)
        return real(self, first - first_asked[0], count)

    Batches.take = take  # type: ignore[method-assign]


def save_behind() -> None:
    """No guard, but a switch: checkpoints of any size are written while training goes on, as those of large models are."""
    from gptmill.train import checkpointer

    if not hasattr(checkpointer, "BEHIND"):
        raise LookupError("checkpoints are written in the background by another rule now")
    vars(checkpointer)["BEHIND"] = 0


def holding(name: str) -> list[ModuleType]:
    """Modules of gptmill.train that use this library."""
    found = [
        module for path, module in sys.modules.items() if path.startswith("gptmill.train.") and hasattr(module, name)
    ]
    if not found:
        raise LookupError(f"no module of gptmill.train uses {name} any more")
    return found


Guard = Callable[[], None]
GUARDS: dict[str, Guard] = {
    "fsync": no_fsync,
    "fsync of the folder": no_folder_fsync,
    "rename": no_rename,
    "SHA-256": no_hash,
    "lock on the run folder": no_lock,
    "finite check of the loss": no_finite_check,
    "finite check of what is saved": no_finite_check_of_tensors,
    "step-keyed order": no_step_keyed_order,
}
