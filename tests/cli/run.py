"""Run the real command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SMALL = [
    "--n_layer=2", "--n_head=2", "--n_embd=16", "--block_size=16", "--batch_size=4", "--gradient_accumulation_steps=1",
    "--max_iters=20", "--warmup_iters=2", "--lr_decay_iters=20", "--learning_rate=1e-2", "--eval_interval=10",
    "--eval_iters=2", "--device=cpu", "--dataset=tiny",
]  # fmt: skip


@dataclass
class Done:
    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        return json.loads(self.out)


def gptmill(folder: Path, *words: str, **environment: str) -> Done:
    """``gptmill WORDS`` in a folder; output is captured."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "gptmill", *words],
        cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr, time.perf_counter() - began)


def prepare_tiny(folder: Path) -> None:
    """A dataset named ``tiny``: a few thousand characters."""
    text = "".join(f"{n} green bottles hanging on the wall, and {n * n % 97} fell.\n" for n in range(300))
    (folder / "tiny.txt").write_text(text)
    done = gptmill(folder, "prepare", "--input", "tiny.txt", "--tokenizer", "char")
    assert done.code == 0, done.err
