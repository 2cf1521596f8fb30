"""torch and the device: each part of a training step really runs here, small, and is compared with something plain.

Legend: B batch, H heads, T tokens, D head width.
"""

from __future__ import annotations

import math
import shutil
import time
from typing import TYPE_CHECKING

from gptmill.cli.checks.base import MISSING, OK, PROBLEM, Found
from gptmill.plan.hardware import settle_dtype
from gptmill.plan.types import Machine
from gptmill.units import duration, size

if TYPE_CHECKING:
    from torch import Tensor

# relative to the largest element: what rounding to a dtype may do to results of some hundred terms
CLOSE = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2}
CUDA_INDEX = "pip install torch --index-url https://download.pytorch.org/whl/cu130"
CPU_INDEX = "pip install torch --index-url https://download.pytorch.org/whl/cpu"


def usable(machine: Machine) -> str:
    """The device that a run would get here."""
    import torch

    return "cpu" if machine.kind == "cuda" and not torch.cuda.is_available() else machine.kind


def build(machine: Machine) -> Found:
    """The version of torch, and what it was built for."""
    import torch

    built_for = "CPU"
    if torch.version.cuda:
        built_for = f"CUDA {torch.version.cuda}"
    elif getattr(torch.version, "hip", None):
        built_for = f"ROCm {torch.version.hip}"
    elif torch.backends.mps.is_built():
        built_for = "CPU and MPS"
    figures = {"version": str(torch.__version__), "built_for": built_for}
    says = f"{torch.__version__}, built for {built_for}"
    if machine.kind == "cuda" and built_for == "CPU":
        return Found(PROBLEM, f"{says}: the {machine.name} stays idle", CUDA_INDEX, figures)
    if machine.kind != "cuda" and torch.version.cuda:
        return Found(OK, f"{says}; no GPU is here: gigabytes of no use", CPU_INDEX, figures)
    return Found(OK, says, figures=figures)


def device(machine: Machine) -> Found:
    """A sum on the device that a run would take."""
    import torch

    kind = usable(machine)
    if kind != machine.kind:
        says = f"torch cannot use the {machine.name} in this machine: training would be on the CPU"
        return Found(PROBLEM, says, "a driver that fits torch's CUDA, or a torch built for your driver")
    if int(torch.arange(1001, device=kind).sum()) != 500_500:
        return Found(PROBLEM, f"{machine.name} adds up wrongly", "--device=cpu, and have the device looked at")
    figures = {"kind": kind, "name": machine.name, "memory_bytes": machine.memory}
    if kind == "cuda":
        free, total = torch.cuda.mem_get_info()
        others = f", and {torch.cuda.device_count() - 1} more" if torch.cuda.device_count() > 1 else ""
        says = f"cuda: {machine.name}, {size(free)} free of {size(total)}{others}"
        return Found(OK, says, figures=figures | {"free_bytes": free, "memory_bytes": total})
    if kind == "mps":
        says = "mps: what it lacks raises an error unless PYTORCH_ENABLE_MPS_FALLBACK=1 is set"
        return Found(OK, says, figures=figures)
    says = f"cpu: {torch.get_num_threads()} threads"
    if torch.cuda.is_available():  # a GPU that nvidia-smi does not list, such as AMD's under ROCm
        says += f"; the {torch.cuda.get_device_name()} that torch sees is not used by device=auto"
    return Found(OK, says, figures=figures)


def bfloat16(machine: Machine) -> Found:
    """A product in bfloat16 beside the same one in float64."""
    import torch

    kind, dtype = usable(machine), settle_dtype("auto", machine)
    a, b = (torch.randn(64, 64, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    try:
        product = a.to(kind, torch.bfloat16) @ b.to(kind, torch.bfloat16)
    except RuntimeError:
        if dtype == "bfloat16":
            raise
        return Found(MISSING, "this device has no such products", f"--dtype={dtype}, which dtype=auto takes here")
    error = distance(product, a.double() @ b.double())
    if error > CLOSE["bfloat16"]:
        return Found(PROBLEM, f"products are off by {error:.1%}", "--dtype=float32")
    speed = "in hardware" if dtype == "bfloat16" else "without gain here"
    return Found(OK, f"{speed}: dtype=auto trains in {dtype}", figures={"auto_dtype": dtype, "error": error})


def attention(machine: Machine) -> Found:
    """PyTorch's fused attention, forward and backward, beside softmax(q k / sqrt(D)) v in float64."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention as fused

    kind, dtype = usable(machine), settle_dtype("auto", machine)
    B, H, T, D = 2, 4, 128, 64
    generator = torch.Generator().manual_seed(0)
    exact = [torch.randn(B, H, T, D, generator=generator).to(getattr(torch, dtype)).double() for _ in range(3)]
    run = [x.to(kind, getattr(torch, dtype)).requires_grad_() for x in exact]
    plain = [x.requires_grad_() for x in exact]
    q_BHTD, k_BHTD, v_BHTD = plain
    future_TT = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores_BHTT = (q_BHTD @ k_BHTD.transpose(-2, -1) / math.sqrt(D)).masked_fill(future_TT, -math.inf)
    expected_BHTD = scores_BHTT.softmax(-1) @ v_BHTD
    mixed_BHTD = fused(run[0], run[1], run[2], is_causal=True)
    expected_BHTD.square().sum().backward()
    mixed_BHTD.square().sum().backward()
    pairs = [(mixed_BHTD, expected_BHTD), *((x.grad, y.grad) for x, y in zip(run, plain))]
    error = max(distance(x, y) for x, y in pairs if x is not None and y is not None)
    figures = {"dtype": dtype, "error": error}
    if not error <= CLOSE[dtype]:
        says = f"differs from the plain formula by {error:.1%} in {dtype}"
        return Found(PROBLEM, says, "--attention_backend=manual", figures)
    return Found(OK, f"equals the plain formula to {error:.0e} in {dtype}", figures=figures)


def adamw(machine: Machine) -> Found:
    """Three steps of the fused kernel beside those of the plain loop."""
    import torch

    kind = usable(machine)
    results = []
    for fused in (True, False):
        weight = torch.linspace(-1, 1, 1000, device=kind).requires_grad_()
        optimizer = torch.optim.AdamW([weight], lr=1e-2, weight_decay=0.1, foreach=False, fused=fused)
        for _ in range(3):
            optimizer.zero_grad()
            weight.pow(4).sum().backward()
            optimizer.step()
        results.append(weight.detach())
    error = distance(*results)
    if not error <= CLOSE["float32"]:
        return Found(PROBLEM, f"the fused kernel is off by {error:.1%}", "another version of torch")
    return Found(OK, f"equals the plain loop to {error:.0e}", figures={"error": error})


def compiled(machine: Machine) -> Found:
    """A small function through torch.compile and the compiler behind it."""
    import torch

    kind = usable(machine)
    auto = "compile=auto compiles on CUDA" if kind == "cuda" else "compile=auto does not compile here"
    x = torch.linspace(-2, 2, 1000, device=kind)
    new = 1 + time.time_ns() % 10**9 / 1e9  # a constant that no earlier call compiled, so that the cache cannot answer

    def small(x: Tensor) -> Tensor:
        return x.sin() * new

    began = time.perf_counter()
    try:
        result = torch.compile(small)(x)
    except Exception as failure:
        if any(map(shutil.which, ("g++", "clang++"))):
            raise
        says = f"there is no C++ compiler ({type(failure).__name__})"
        remedy = f"install one (apt install g++); without it --compile=False ({auto})"
        return Found(PROBLEM if kind == "cuda" else MISSING, says, remedy)
    seconds, error = time.perf_counter() - began, distance(result, small(x))
    if not error <= CLOSE["float32"]:
        return Found(PROBLEM, f"the compiled function is off by {error:.1%}", "--compile=False")
    return Found(OK, f"works, {duration(seconds)} for a tiny function; {auto}", figures={"seconds": seconds})


def distance(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected element."""
    expected = expected.detach().cpu().double()
    return float((found.detach().cpu().double() - expected).abs().max() / expected.abs().max())
