"""Machines and data for the plan's tests."""

from __future__ import annotations

from gptmill.plan.types import DataFacts, Machine

GIB = 2**30
CPU = Machine("cpu", "Old CPU", cores=2, memory=8 * GIB, bf16=False)
CPU_BF16 = Machine("cpu", "New CPU", cores=2, memory=8 * GIB, bf16=True)
TURING = Machine("cuda", "Tesla T4", cores=8, memory=15 * GIB, bf16=False)
AMPERE = Machine("cuda", "NVIDIA A100", cores=8, memory=80 * GIB, bf16=True)
MPS = Machine("mps", "Apple GPU", cores=8, memory=16 * GIB, bf16=False)


def data(train: int = 100_000_000, val: int = 10_000_000, vocab_size: int | None = 50257) -> DataFacts:
    return DataFacts("openwebtext", "data/openwebtext", train, val, vocab_size, "gpt2", None)
