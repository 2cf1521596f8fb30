"""What a device could compute at most: dense FLOP/s of its matrix units, by name and dtype, as its maker publishes it.

Dense: half of what data sheets print "with sparsity". A device or dtype that is not here has no MFU; nothing is guessed.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Peak(NamedTuple):
    """One row.

    Args:
        name: pattern of the whole name that the driver reports, without the maker's.
        tflops: dense peak [TFLOP/s] by dtype, summed in float32; ``tf32`` is float32 on tensor cores. A dtype that the
            hardware lacks is missing.
    """

    name: str
    tflops: dict[str, float]
    source: str


def halves(both: float, tf32: float | None, float32: float) -> dict[str, float]:
    """Peaks of a device that runs bfloat16 and float16 equally fast."""
    return {"bfloat16": both, "float16": both, **({"tf32": tf32} if tf32 else {}), "float32": float32}


PEAKS = (
    Peak(
        r"A100(-(SXM4?|PCIE))?(-\d\dGB)?|A100 80GB PCIe",
        halves(312, 156, 19.5),
        "NVIDIA A100 data sheet, nvidia-a100-datasheet-us-nvidia-1758950-r4",
    ),
    Peak(
        r"H100 80GB HBM3|H100 SXM5?( 80GB)?",
        halves(989.4, 494.7, 66.9),
        "NVIDIA H100 Tensor Core GPU Architecture white paper v1.04, table 2",
    ),
    Peak(
        r"H100 PCIe( 80GB)?",
        halves(756, 378, 51.2),
        "NVIDIA H100 Tensor Core GPU Architecture white paper v1.04, table 2",
    ),
    Peak(r"H100 NVL", halves(835.5, 417.5, 60), "NVIDIA H100 data sheet 2023: 1,671 and 835 with sparsity, halved"),
    Peak(r"H200", halves(989.5, 494.5, 67), "NVIDIA H200 data sheet: 1,979 and 989 with sparsity, halved"),
    Peak(r"H200 NVL", halves(835.5, 417.5, 60), "NVIDIA H200 data sheet: 1,671 and 835 with sparsity, halved"),
    Peak(r"B200", halves(2250, 1100, 75), "NVIDIA HGX B200 specifications: 4,500 and 2,200 with sparsity, halved"),
    Peak(r"V100-SXM2-\d\dGB|V100-SXM2", {"float16": 125, "float32": 15.7}, "NVIDIA V100 data sheet, SXM2; no bfloat16"),
    Peak(r"V100-PCIE-\d\dGB", {"float16": 112, "float32": 14}, "NVIDIA V100 data sheet, PCIe; no bfloat16"),
    Peak(r"T4", {"float16": 65, "float32": 8.1}, "NVIDIA T4 data sheet; no bfloat16"),
    Peak(r"L4", halves(121, 60, 30.3), "NVIDIA L4 data sheet: 242 and 120 with sparsity, halved"),
    Peak(r"A10G", halves(70, 35, 35), "NVIDIA A10G data sheet (Amazon EC2 G5)"),
    Peak(
        r"GeForce RTX 3090",
        halves(71, 35.6, 35.6),
        "NVIDIA Ampere GA102 GPU Architecture white paper v2.1, table 9; 16-bit products summed in float32",
    ),
    Peak(
        r"GeForce RTX 4090",
        halves(165.2, 82.6, 82.6),
        "NVIDIA Ada GPU Architecture white paper v2.1, table 2; 16-bit products summed in float32",
    ),
    Peak(r"Instinct MI300X(-O| OAM)?", halves(1307.4, 653.7, 163.4), "AMD CDNA 3 white paper, table 1"),
    Peak(
        r"Radeon PRO W7900",
        halves(122.6, None, 61.3),
        "AMD Radeon PRO W7900 specifications; bfloat16 as fast as float16: AMD GPUOpen, WMMA on RDNA 3",
    ),
)
MAKERS = re.compile(r"^(NVIDIA |AMD |Tesla )+")


def peak_flops(device_name: str, dtype: str, matmul_precision: str = "highest") -> float | None:
    """Dense peak of one device [FLOP/s], or None when no published figure is known.

    Args:
        device_name: as the driver reports it: 'NVIDIA A100-SXM4-80GB'. A slice, a laptop's or a virtual GPU is another
            device than the one it is named after.
        matmul_precision: 'high' and 'medium' let float32 matmuls run as TF32, where there is that.
    """
    row = peak_of(device_name)
    if row is None:
        return None
    rows = ("tf32", "float32") if dtype == "float32" and matmul_precision != "highest" else (dtype,)
    return next((row.tflops[name] * 1e12 for name in rows if name in row.tflops), None)


def peak_of(device_name: str) -> Peak | None:
    """The row of a device."""
    name = MAKERS.sub("", device_name.strip())
    return next((row for row in PEAKS if re.fullmatch(row.name, name)), None)
