"""Runs gptmill's command in forks of this process, where torch is imported already, and says what came of it."""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.runs import leave_by, share_templates

ROOT = Path(__file__).parents[2]
SMALL = [
    "--n_layer=2", "--n_head=2", "--n_embd=16", "--block_size=16", "--batch_size=4", "--gradient_accumulation_steps=1",
    "--max_iters=4", "--warmup_iters=2", "--lr_decay_iters=20", "--eval_interval=2", "--eval_iters=1", "--device=cpu",
    "--dataset=tiny", "--compile=False",
]  # fmt: skip
LIMIT = 60  # seconds of a case; longer counts as a hang, on a busy machine too
ROOM = (
    4 * 2**30
)  # bytes of address space beyond what a fork has from the start: what asks for more is refused by the system
# What no input may bring about. Imports read .pyc files with marshal and exec, so those two cannot be watched.
WATCHED = (
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "socket.connect",
    "shutil.unpack_archive",
)


@dataclass
class Ended:
    """How a command ended.

    Args:
        code: exit code, or minus the signal.
        grown: most bytes of memory beyond what the fork had from the start.
        events: audit events of WATCHED that were raised.
    """

    code: int
    out: str
    err: str
    seconds: float
    grown: int
    events: list[str]


class Workshop:
    """A scratch folder, and a process that is warm: every command runs in a fork of it.

    Args:
        scratch: for stdout and stderr of the forks.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        preload()
        self._empty = max(self._fork(lambda: None)[2] for _ in range(3))

    def command(self, folder: Path, *words: str) -> Ended:
        """``gptmill WORDS`` in a folder."""
        return self.call(folder, lambda: _command(list(words)))

    def call(self, folder: Path, work: Callable[[], None]) -> Ended:
        """Some work in a fork that stands in a folder."""
        names = [self._scratch / name for name in ("stdout", "stderr", "events")]
        for name in names:
            name.write_bytes(b"")

        def inside() -> None:
            os.chdir(folder)
            for stream, name in enumerate(names[:2], 1):
                os.dup2(os.open(name, os.O_WRONLY | os.O_TRUNC), stream)
            events = os.open(names[2], os.O_WRONLY | os.O_APPEND)
            sys.addaudithook(lambda event, _: os.write(events, f"{event}\n".encode()) if event in WATCHED else None)
            most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + ROOM
            os.fsync = lambda _: (
                None
            )  # whether the disk has it is another trial's matter, and takes most of the time here
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            work()

        code, seconds, most = self._fork(inside)
        out, err, events = (name.read_bytes().decode("utf-8", "replace") for name in names)
        return Ended(code, out, err, seconds, max(0, most - self._empty), events.split())

    def _fork(self, work: Callable[[], None]) -> tuple[int, float, int]:
        """Exit code, processor seconds, most memory [bytes]."""
        pid = os.fork()
        if pid == 0:
            leave_by(work)
        deadline = time.monotonic() + LIMIT
        while True:
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)


def _command(words: list[str]) -> None:
    from gptmill.cli.main import main

    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115  (this process's)
    main(words)


def preload() -> None:
    """Import what the commands import; no operation may run, because its threads would not survive the fork."""
    commands = [
        f"cli.{name}" for name in ("train", "sample", "verify", "report", "compare", "plan", "prepare", "recording")
    ]
    rooms = ["data.batches", "data.prepare", "data.parquet", "model.gpt", "model.generate", "optim.optimizers"]
    recorders = ["track.console", "track.summary", "train.checkpointer", "train.facts", "train.loop", "report.run_page"]
    for name in (*commands, *rooms, *recorders):
        importlib.import_module(f"gptmill.{name}")
    for name in ("torch._dynamo", "pyarrow.parquet", "plotly", "jinja2"):
        importlib.import_module(name)


def make_run(shop: Workshop, folder: Path) -> None:
    """A dataset ``tiny`` and a run of 4 steps, ``half``, that wants 8."""
    text = "".join(f"{n} green bottles hanging on the wall, and {n * n % 97} fell.\n" for n in range(300))
    folder.mkdir(parents=True)
    (folder / "tiny.txt").write_text(text)
    for words in (
        ["prepare", "--input", "tiny.txt", "--tokenizer", "char"],
        ["train", *SMALL, "--out_dir=half", "--early_stopping=False"],
    ):
        done = shop.command(folder, *words)
        if done.code:
            raise SystemExit(f"{' '.join(words)}: exit {done.code}\n{done.err}")
    share_templates(folder / "half")
    shutil.rmtree(folder / "half" / "source")  # several megabytes that no command reads, copied for every case
    (folder / "half" / "report.html").unlink()
