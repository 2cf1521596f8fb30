"""Run the real command in a process of its own (forking.py says how that is quick)."""

from __future__ import annotations

import functools
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds
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
    """``gptmill WORDS`` in a folder; output is captured. With an environment of its own it is started, else forked."""
    began = time.perf_counter()
    if not environment:
        return _forked(folder, words)
    done = subprocess.run(
        [sys.executable, "-m", "gptmill", *words],
        cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}, timeout=PATIENCE,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr, time.perf_counter() - began)


@functools.cache
def _forker(process: int) -> subprocess.Popen[str]:
    """The process that forks commands for this one; it ends when its input does."""
    command = [sys.executable, "-m", "tests.cli.forking"]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _forked(folder: Path, words: tuple[str, ...]) -> Done:
    forker, began = _forker(os.getpid()), time.perf_counter()
    assert forker.stdin and forker.stdout
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        request = {"folder": str(folder.absolute()), "words": words, "out": out.name, "err": err.name}
        print(json.dumps(request), file=forker.stdin, flush=True)
        if not select.select([forker.stdout], [], [], PATIENCE)[0]:
            forker.kill()
            raise TimeoutError(f"{words} took more than {PATIENCE} s")
        code = int(forker.stdout.readline())
        return Done(code, out.read(), err.read(), time.perf_counter() - began)


def prepare_tiny(folder: Path) -> None:
    """A dataset named ``tiny``: a few thousand characters."""
    text = "".join(f"{n} green bottles hanging on the wall, and {n * n % 97} fell.\n" for n in range(300))
    (folder / "tiny.txt").write_text(text)
    done = gptmill(folder, "prepare", "--input", "tiny.txt", "--tokenizer", "char")
    assert done.code == 0, done.err
