"""The hardware table: every row with the paper its figures come from. Dense peaks, summed in float32.

Dense: half of what data sheets print "with sparsity". GeForce cards multiply 16-bit numbers at half speed when they sum in
float32, as training does. ``computed`` rows are multiprocessors x FLOP per clock x boost clock, where the maker prints the
three and not the product; the ones it prints agree with that to 1% (a test).

Memory [MiB] is what nvidia-smi prints where that was seen (modal-labs/modal-client#2797 and others), which on GDDR6 with ECC is
15/16 of what is on the box; else what is on the box.

Tests hold 16-bit peaks against units x clock, and bandwidths against bus x rate where those are known. Power, memory sizes and
the rows of MI250X and GB200 have no such check and were written down without the papers at hand: look them up before
relying on them.
"""

from __future__ import annotations

from gptmill.plan.devices import Device

AMPERE = "NVIDIA Ampere GA102 GPU Architecture white paper v2.1"
ADA = "NVIDIA Ada GPU Architecture white paper v2.1"
BLACKWELL = "NVIDIA RTX Blackwell GPU Architecture white paper"
GEFORCE = "computed; NVIDIA GeForce specifications of the card, white paper of its architecture"
A100 = "NVIDIA A100 data sheet, nvidia-a100-datasheet-us-nvidia-1758950-r4"
HOPPER = "NVIDIA H100 Tensor Core GPU Architecture white paper v1.04, table 2"
APPLE = "Apple newsroom, announcement of the chip"


def halves(both: float, tf32: float | None, float32: float) -> dict[str, float]:
    """Peaks of a device that runs bfloat16 and float16 equally fast."""
    return {"bfloat16": both, "float16": both, **({"tf32": tf32} if tf32 else {}), "float32": float32}


def volta(half: float, float32: float) -> dict[str, float]:
    """Before Ampere there is no bfloat16, and no TF32."""
    return {"float16": half, "float32": float32}


def geforce(both: float, float32: float) -> dict[str, float]:
    """TF32 is as fast as float32 on these."""
    return halves(both, float32, float32)


def apple(name: str, bandwidth: float, float32: float | None = None) -> Device:
    """Memory comes in several sizes; power and 16-bit peaks are not published, float32's only of the first."""
    peaks = {"float32": float32} if float32 else {}
    return Device(name, peaks, None, bandwidth, None, APPLE, kind="mps")


GB = 1024
DEVICES = (
    # data centre
    Device("A100-SXM4-80GB", halves(312, 156, 19.5), 81920, 2039, 400, A100, r"A100-SXM-80GB"),
    Device("A100-SXM4-40GB", halves(312, 156, 19.5), 40960, 1555, 400, A100, r"A100-SXM-40GB|A100(-SXM4)?"),
    Device("A100 80GB PCIe", halves(312, 156, 19.5), 81920, 1935, 300, A100, r"A100-PCIE-80GB"),
    Device("A100-PCIE-40GB", halves(312, 156, 19.5), 40960, 1555, 250, A100, r"A100-PCIE"),
    Device("H100 80GB HBM3", halves(989.4, 494.7, 66.9), 81559, 3352, 700, HOPPER, r"H100 SXM5?( 80GB)?"),
    Device("H100 PCIe", halves(756, 378, 51.2), 81559, 2039, 350, HOPPER, r"H100 PCIe 80GB"),
    Device("H100 NVL", halves(835.5, 417.5, 60), 94 * GB, 3900, 400, "NVIDIA H100 data sheet 2023: 1,671 and 835 with sparsity, halved"),
    Device("H200", halves(989.5, 494.5, 67), 143771, 4800, 700, "NVIDIA H200 data sheet: 1,979 and 989 with sparsity, halved"),
    Device("H200 NVL", halves(835.5, 417.5, 60), 143771, 4800, 600, "NVIDIA H200 data sheet: 1,671 and 835 with sparsity, halved"),
    Device("B200", halves(2250, 1100, 75), 180 * GB, 8000, 1000, "NVIDIA HGX B200 specifications: 4,500 and 2,200 with sparsity, halved"),
    Device("GB200", halves(2500, 1250, 80), 186 * GB, 8000, 1200, "NVIDIA GB200 NVL72 specifications: 360 and 180 PFLOP/s with sparsity of 72 GPUs, halved"),
    Device("L40S", halves(362.05, 183, 91.6), 46068, 864, 350, "NVIDIA L40S data sheet: 362.05 dense"),
    Device("A40", halves(149.7, 74.8, 37.4), 48 * GB, 696, 300, "NVIDIA A40 data sheet: 149.7 dense"),
    Device("L4", halves(121, 60, 30.3), 23034, 300, 72, "NVIDIA L4 data sheet: 242 and 120 with sparsity, halved"),
    Device("A10G", halves(70, 35, 35), 23028, 600, 300, "NVIDIA A10G data sheet (Amazon EC2 G5); power: the driver's limit"),
    Device("T4", volta(65, 8.1), 15360, 320, 70, "NVIDIA T4 data sheet; no bfloat16"),
    Device("V100-SXM2-32GB", volta(125, 15.7), 32 * GB, 900, 300, "NVIDIA V100 data sheet, SXM2; no bfloat16"),
    Device("V100-SXM2-16GB", volta(125, 15.7), 16 * GB, 900, 300, "NVIDIA V100 data sheet, SXM2; no bfloat16", r"V100-SXM2"),
    Device("V100-PCIE-32GB", volta(112, 14), 32 * GB, 900, 250, "NVIDIA V100 data sheet, PCIe; no bfloat16"),
    Device("V100-PCIE-16GB", volta(112, 14), 16 * GB, 900, 250, "NVIDIA V100 data sheet, PCIe; no bfloat16"),
    # consumer
    Device("GeForce RTX 5090", geforce(209.5, 104.8), 32 * GB, 1792, 575, BLACKWELL),
    Device("GeForce RTX 5080", geforce(112.6, 56.3), 16 * GB, 960, 360, BLACKWELL),
    Device("GeForce RTX 5070", geforce(61.7, 30.9), 12 * GB, 672, 250, GEFORCE),
    Device("GeForce RTX 5070 Ti", geforce(87.9, 43.9), 16 * GB, 896, 300, GEFORCE),
    Device("GeForce RTX 4090", geforce(165.2, 82.6), 24564, 1008, 450, ADA),
    Device("GeForce RTX 4080", geforce(97.5, 48.7), 16 * GB, 716.8, 320, ADA),
    Device("GeForce RTX 4070", geforce(58.3, 29.1), 12 * GB, 504, 200, GEFORCE),
    Device("GeForce RTX 4070 Ti", geforce(80.2, 40.1), 12 * GB, 504, 285, ADA),
    Device("GeForce RTX 3090", geforce(71, 35.6), 24576, 936, 350, AMPERE),
    Device("GeForce RTX 3080", geforce(59.5, 29.8), 10 * GB, 760, 320, AMPERE),
    Device("GeForce RTX 3070", geforce(40.6, 20.3), 8 * GB, 448, 220, AMPERE),
    Device("GeForce RTX 3060", geforce(25.5, 12.7), 12 * GB, 360, 170, GEFORCE),
    # workstation
    Device(
        "RTX PRO 6000 Blackwell Workstation Edition", halves(503.8, 251.9, 126), 96 * GB, 1792, 600,
        "NVIDIA RTX PRO Blackwell GPU Architecture white paper",
    ),
    Device("RTX 6000 Ada Generation", halves(364.2, 182.1, 91.1), 48 * GB, 960, 300, "NVIDIA RTX 6000 Ada data sheet: 1,457 in fp8 with sparsity, a quarter"),
    Device("RTX A6000", halves(154.8, 77.4, 38.7), 48 * GB, 768, 300, "NVIDIA RTX A6000 data sheet: 309.7 with sparsity, halved"),
    Device("RTX A5000", halves(111.1, 55.6, 27.8), 24 * GB, 768, 230, "NVIDIA RTX A5000 data sheet: 222.2 with sparsity, halved"),
    Device("RTX A4000", halves(76.7, 38.3, 19.2), 16 * GB, 448, 140, "NVIDIA RTX A4000 data sheet: 153.4 with sparsity, halved"),
    # AMD
    Device("Instinct MI300X", halves(1307.4, 653.7, 163.4), 192 * GB, 5300, 750, "AMD CDNA 3 white paper, table 1", r"Instinct MI300X(-O| OAM)"),
    Device(
        "Instinct MI250X", halves(191.5, None, 47.9), 64 * GB, 1638, 280,
        "AMD CDNA 2 white paper, table 1: 383 of two dies, and torch sees each as a device", r"Instinct MI250X/MI250",
    ),
    Device(
        "Radeon PRO W7900", halves(122.6, None, 61.3), 48 * GB, 864, 295,
        "AMD Radeon PRO W7900 specifications; bfloat16 as fast as float16: AMD GPUOpen, WMMA on RDNA 3",
    ),
    # Apple
    apple("M1", 68.25, 2.6), apple("M1 Pro", 200), apple("M1 Max", 400), apple("M1 Ultra", 800),
    apple("M2", 100), apple("M2 Pro", 200), apple("M2 Max", 400), apple("M2 Ultra", 800),
    apple("M3", 100), apple("M3 Pro", 150), apple("M3 Ultra", 819),
    apple("M4", 120), apple("M4 Pro", 273),
)  # fmt: skip
