"""``gptmill doctor --measure``: the fastest matmul and copy this device manages, which is what a step is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gptmill.cli.checks.base import OK, Found
from gptmill.units import flops, size

if TYPE_CHECKING:
    import torch

SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192), "mps": (1024, 2048, 4096)}  # square matrices
COPIED = {"cpu": 2**28, "cuda": 2**30, "mps": 2**28}  # bytes: far more than any cache holds
DTYPES = {
    "cpu": ("float32", "bfloat16"),
    "cuda": ("float32", "tf32", "bfloat16", "float16"),
    "mps": ("float32", "float16"),
}
SECONDS = 0.5  # of repeating each
TOO_LONG = 0.5  # seconds of one call, beyond which a larger matrix would teach nothing


def matmul(kind: str, dtype: str) -> Found:
    """The best rate over several sizes [FLOP/s]; a matmul of n x n takes 2 n^3."""
    import torch

    best, best_n = 0.0, 0
    element = torch.float32 if dtype == "tf32" else getattr(torch, dtype)
    with _tf32(dtype == "tf32"):
        for n in SIZES[kind]:
            a, b = (torch.randn(n, n, device=kind).to(element) for _ in range(2))
            seconds = fastest("a @ b", {"a": a, "b": b})
            if 2 * n**3 / seconds > best:
                best, best_n = 2 * n**3 / seconds, n
            if seconds > TOO_LONG:
                break
    figures = {"device": kind, "dtype": dtype, "flops_per_second": best, "size": best_n}
    return Found(OK, f"{flops(best)}/s, matmul of {best_n} x {best_n}", figures=figures)


def copy(kind: str) -> Found:
    """Bytes read and written per second while copying more than caches hold."""
    import torch

    source = torch.zeros(COPIED[kind], dtype=torch.uint8, device=kind)
    target = torch.ones_like(source)
    rate = 2 * COPIED[kind] / fastest("target.copy_(source)", {"source": source, "target": target})
    return Found(OK, f"{size(rate)}/s read and written", figures={"device": kind, "bytes_per_second": rate})


def fastest(statement: str, names: dict[str, torch.Tensor]) -> float:
    """Seconds of the fastest of several warm runs, the device's queue included."""
    import torch
    from torch.utils.benchmark import Timer

    timer = Timer(statement, globals=dict(names), num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange(min_run_time=SECONDS).times)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
