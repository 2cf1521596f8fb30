"""Who takes part, how each is started, and what is read from what it prints: ``iter N: loss L, time T ms``."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.sizes import COMMON, Size

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
ITER = re.compile(r"^iter \d+: loss ([\d.]+), time ([\d.]+) ?ms")
LITGPT_ITER = re.compile(r"iter \d+ .*loss train: ([\d.]+),.*iter time: ([\d.]+) ms")
PEAK = re.compile(r"^peak memory: (\d+) bytes")


@dataclass(frozen=True)
class Peers:
    """Where the others are, absolute; None = not asked for. Args: hugging_face, litgpt: a Python that has it installed."""

    nanogpt: Path | None
    hugging_face: Path | None
    litgpt: Path | None


@dataclass(frozen=True)
class Measured:
    """One process. Args: first_step: seconds from its start to the end of its first step. peak: bytes, of the GPU on CUDA."""

    tokens_per_second: float
    first_step: float
    peak: int
    losses: list[float]


Command = Callable[[Path, Size, str], list[str]]  # (work folder, size, device) -> what is run there, after a Python


def sides(peers: Peers, device: str) -> dict[str, tuple[Path, Command]]:
    """By name, the Python and the words of each that takes part, in the order they take turns."""
    here, gpu = Path(sys.executable), device == "cuda"
    found: dict[str, tuple[Path, Command]] = {}
    if peers.nanogpt:
        found["nanoGPT"] = here, _nanogpt(peers.nanogpt, compiled=False)
        found["nanoGPT compiled"] = here, _nanogpt(peers.nanogpt, compiled=True)
    if peers.hugging_face:
        found["HF Trainer float32"] = peers.hugging_face, _script("hugging_face", bf16=False, compile=False)
        found["HF Trainer bfloat16"] = peers.hugging_face, _script("hugging_face", bf16=True, compile=gpu)
    if peers.litgpt:
        found["litgpt"] = peers.litgpt, _script("litgpt")
    found["plain PyTorch"] = here, _script("plain", compile=gpu)
    found["gptmill"] = here, _gptmill
    return found


def _nanogpt(source: Path, *, compiled: bool) -> Command:
    """Its train.py with its fastest precision: bfloat16 on CUDA, float32 on a CPU, where its dtype does nothing."""

    def command(work: Path, size: Size, device: str) -> list[str]:
        for name in ("train.py", "model.py", "configurator.py"):
            if not (work / name).exists():
                (work / name).symlink_to(source.resolve() / name)
        dtype = "bfloat16" if device == "cuda" else "float32"
        own = {"device": device, "compile": compiled, "dtype": dtype, "out_dir": "out-nanogpt"}
        return ["train.py", *_flags({**COMMON, **size.keys, **own})]

    return command


def _gptmill(work: Path, size: Size, device: str) -> list[str]:
    """Without any flag for speed; the vocabulary of the data is in a pickle, which it never opens."""
    own = {"device": device, "out_dir": "out-gptmill", "vocab_size": size.vocab_size}
    return [str(ROOT / "train.py"), *_flags({**COMMON, **size.keys, **own}), "--overwrite"]


def _script(name: str, **more: object) -> Command:
    def command(work: Path, size: Size, device: str) -> list[str]:
        asked = {**size.keys, "vocab_size": size.vocab_size, "device": device, **more}
        return [str(PEERS / f"{name}.py"), json.dumps(asked)]

    return command


def _flags(settings: dict[str, object]) -> list[str]:
    return [f"--{key}={value}" for key, value in settings.items()]


def measure(name: str, python: Path, command: Command, work: Path, size: Size, device: str) -> Measured:
    """Run one side in a process of its own, and read along."""
    words = [str(python), "-u", str(PEERS / "watched.py"), *command(work, size, device)]
    began = time.perf_counter()
    losses: list[float] = []
    times: list[float] = []
    first, peak, lines = 0.0, 0, []
    where = (
        {**os.environ, "PYTHONPATH": str(ROOT)} if name == "gptmill" else None
    )  # this checkout, not an installed one
    with subprocess.Popen(
        words, cwd=work, env=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if step := ITER.search(line) or LITGPT_ITER.search(line):
                first = first or time.perf_counter() - began
                losses.append(float(step[1]))
                times.append(float(step[2]))
            elif told := PEAK.search(line):
                peak = int(told[1])
    if process.returncode or len(times) < size.max_iters or not peak:
        raise SystemExit(f"{name} ended with {process.returncode} after {len(times)} steps:\n{''.join(lines[-30:])}")
    median = statistics.median(times[size.warmup :])
    return Measured(1000 * size.tokens / median, first, peak, losses)
