"""What a device is by its maker's word: peaks, memory, bandwidth, power. One row each in ``device_table.py``.

A device or dtype that is not there has no figure; nothing is guessed.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from gptmill.errors import UserError
from gptmill.plan.types import Machine

MAKERS = re.compile(r"^(NVIDIA |AMD |Apple |Tesla )+", re.IGNORECASE)
MIB = 2**20


class Device(NamedTuple):
    """One row. None: the maker does not publish it, or sells several.

    Args:
        name: as the driver reports it, without the maker's.
        tflops: dense peak [TFLOP/s] by dtype, summed in float32; ``tf32`` is float32 on tensor cores. A dtype that the
            hardware lacks is missing.
        mib: memory as the driver reports it [MiB], else as the maker prints it.
        bandwidth: of that memory [GB/s].
        watts: the most the board draws, by default.
        source: of peaks, bandwidth and power.
        others: pattern of further names that drivers give the same device.
        kind: what torch calls it; AMD's are 'cuda' too.
    """

    name: str
    tflops: dict[str, float]
    mib: int | None
    bandwidth: float | None
    watts: float | None
    source: str
    others: str = ""
    kind: str = "cuda"

    @property
    def memory(self) -> int | None:
        """Bytes."""
        return None if self.mib is None else self.mib * MIB

    @property
    def bf16(self) -> bool:
        """Whether bfloat16 is faster than float32."""
        return self.tflops.get("bfloat16", 0) > self.tflops.get("float32", 0)


@cache
def table() -> tuple[Device, ...]:
    from gptmill.plan.device_table import DEVICES

    return DEVICES


def device_of(device_name: str) -> Device | None:
    """The row of a device by the name its driver reports: 'NVIDIA A100-SXM4-80GB'.

    A slice, a laptop's or a virtual GPU is another device than the one it is named after.
    """
    name = MAKERS.sub("", device_name.strip())
    return next((row for row in table() if name == row.name or (row.others and re.fullmatch(row.others, name))), None)


def peak_flops(device_name: str, dtype: str, matmul_precision: str = "highest") -> float | None:
    """Dense peak of one device [FLOP/s], or None when no published figure is known.

    Args:
        matmul_precision: 'high' and 'medium' let float32 matmuls run as TF32, where there is that.
    """
    row = device_of(device_name)
    if row is None:
        return None
    names = ("tf32", "float32") if dtype == "float32" and matmul_precision != "highest" else (dtype,)
    return next((row.tflops[name] * 1e12 for name in names if name in row.tflops), None)


def find_device(wanted: str) -> Device:
    """The row a person means by 'a100', 'h100 pcie', '4090' or a driver's name; of several, the first in the table.

    Raises:
        UserError: no row has these words; names those that are nearest.
    """
    name = MAKERS.sub("", wanted.strip())
    words = _words(name)
    for row in table():
        if words and (re.fullmatch(row.others, name, re.IGNORECASE) or set(words) <= set(_words(row.name))):
            return row
    kin = [row.name for row in table() if any(len(word) > 1 and word in row.name.lower() for word in words)]
    near = ", ".join(kin[:5] or [row.name for row in table()[:5]])
    raise UserError(f"--gpu={wanted}: not in the table of devices; it has {near} and others: --gpu=all shows them")


def machine_of(row: Device) -> Machine:
    """The device as if it were in this machine; nothing is known of the computer around it."""
    maker = {"mps": "Apple"}.get(row.kind) or ("AMD" if row.name.startswith(("Radeon", "Instinct")) else "NVIDIA")
    return Machine(row.kind, f"{maker} {row.name}", cores=1, memory=row.memory, bf16=row.bf16)


def _words(name: str) -> list[str]:
    """'A100-SXM4-80GB' -> ['a100', 'sxm', '80'], 'rtx4090' -> ['rtx', '4090']."""
    words = re.findall(r"rtx(?=\d)|[a-z0-9]+", name.lower())
    return [re.sub(r"^(sxm)\d$|^(\d+)gb$", r"\1\2", word) for word in words]
