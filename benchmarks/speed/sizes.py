"""What is trained: sizes, settings and data that every side gets alike."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COMMON = {
    "dataset": "bench", "gradient_accumulation_steps": 1, "dropout": 0.0, "learning_rate": 1e-3, "warmup_iters": 10,
    "eval_interval": 100000, "eval_iters": 1, "log_interval": 1, "always_save_checkpoint": False,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """Args: warmup: steps that are not counted: allocation, compilation."""

    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    batch_size: int
    vocab_size: int
    max_iters: int
    warmup: int = 5

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.batch_size * self.block_size

    @property
    def keys(self) -> dict[str, object]:
        """Config keys that nanoGPT and gptmill share; the vocabulary comes from the data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("vocab_size", "warmup")}


# vocab_size 65: characters of tiny Shakespeare. S and B are nanoGPT's documented models for a CPU and for one GPU.
CPU = {
    "S": Size(4, 4, 128, block_size=64, batch_size=12, vocab_size=65, max_iters=300),
    "B": Size(6, 6, 384, block_size=256, batch_size=12, vocab_size=65, max_iters=30),
    "124M": Size(12, 12, 768, block_size=1024, batch_size=1, vocab_size=50304, max_iters=6, warmup=2),
}
CUDA = {
    "124M x 12": Size(12, 12, 768, block_size=1024, batch_size=12, vocab_size=50304, max_iters=60),
    "124M x 48": Size(12, 12, 768, block_size=1024, batch_size=48, vocab_size=50304, max_iters=40),
    "350M": Size(24, 16, 1024, block_size=1024, batch_size=16, vocab_size=50304, max_iters=30),
    "774M": Size(36, 20, 1280, block_size=1024, batch_size=8, vocab_size=50304, max_iters=20),
    "1.5B": Size(48, 25, 1600, block_size=1024, batch_size=8, vocab_size=50304, max_iters=20),
}
SIZES = {"cpu": CPU, "cuda": CUDA}


def make_data(folder: Path, vocab_size: int) -> None:
    """Random tokens: speed does not depend on what is learned. nanoGPT wants its vocabulary in a pickle."""
    folder.mkdir(parents=True)
    ids = np.random.default_rng(0).integers(vocab_size, size=1_000_000).astype(np.uint16)
    for split in ("train", "val"):
        ids.tofile(folder / f"{split}.bin")
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": vocab_size}))
