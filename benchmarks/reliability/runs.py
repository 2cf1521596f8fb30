"""One small run with dropout that can be started, disturbed and started again.

Every process is a fork of one that has torch imported, so that what disturbs it falls into training and saving, not
into imports.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
INTERVAL = 5  # steps between checkpoints
SETTINGS = (
    "quick", "--n_layer=2", "--n_head=2", "--n_embd=32", "--block_size=32", "--batch_size=4",
    "--gradient_accumulation_steps=1", "--dropout=0.1", "--warmup_iters=10", "--lr_decay_iters=60",
    f"--snapshot_interval={INTERVAL}", "--eval_interval=30", "--eval_iters=2", "--device=cpu", "--compile=False",
)  # fmt: skip
LENGTH = 60  # steps
SLOW_TO_IMPORT = ("gptmill", "torch._dynamo", "jinja2", "plotly", "numpy.ma")


@dataclass(frozen=True)
class Workshop:
    """Where a part works.

    Args:
        data: folder of token files, shared by all parts.
        share: of the trials to make.
    """

    folder: Path
    data: Path
    rng: random.Random
    share: float

    def count(self, n: int) -> int:
        return max(1, round(n * self.share))


class Started(NamedTuple):
    """What one process left in metrics.jsonl: where it continued, the last step recorded, when the first was [s]."""

    resumed: int
    last: int
    first_step_at: float | None


@dataclass
class Run:
    """A run folder and the command that trains in it, continuing what is there.

    Args:
        before: what the process does first, such as to remove a guard.
        cold: start ``python -m gptmill`` instead of forking this process; ``before`` is not for that.
        logs: beginning of the names of the files that stdout and stderr go to; beside the folder unless given.
    """

    folder: Path
    data: Path
    changes: tuple[str, ...] = ()
    before: Callable[[], None] = lambda: None
    cold: bool = False
    logs: Path | None = None
    argv: list[str] = field(init=False)

    def __post_init__(self) -> None:
        settings = (*SETTINGS, f"--max_iters={LENGTH}", f"--data_dir={self.data}", f"--out_dir={self.folder}")
        self.argv = ["train", *settings, *self.changes, "--resume", "--json"]
        self.stdout, self.stderr = ((self.logs or self.folder).with_suffix(f".{name}") for name in ("stdout", "stderr"))

    def start(self) -> int:
        """Start the process; returns its pid."""
        return fork(self.train)

    def complete(self) -> dict[str, Any]:
        """Let it run to its end undisturbed; returns what it printed."""
        code = wait(self.start())
        if code != 0:
            raise RuntimeError(f"{self.folder} ended with exit code {code}:\n{self.complaint()}")
        return self.printed()

    def printed(self) -> dict[str, Any]:
        """The result; a process that is started again after the run was complete prints it again."""
        result: dict[str, Any] = json.loads(self.stdout.read_text().splitlines()[-1])
        return result

    def complaint(self) -> str:
        return self.stderr.read_text()[-2000:]

    def copy(
        self, folder: Path, *changes: str, before: Callable[[], None] = lambda: None, logs: Path | None = None
    ) -> Run:
        """The same run in another folder, as far as it came; its report, several megabytes, is made again at the end."""
        shutil.copytree(self.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("report.html"))
        return Run(folder, self.data, (*self.changes, *changes), before, logs=logs)

    def events(self) -> list[dict[str, Any]]:
        """Every whole line of metrics.jsonl."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def committed(self) -> int:
        """The newest step that the run said is saved; 0 when none is."""
        return max((fields["iter"] for fields in self.events() if fields["event"] == "checkpoint_saved"), default=0)

    def starts(self) -> list[Started]:
        """For each process that got as far as training."""
        found: list[Started] = []
        for fields in self.events():
            if fields["event"] == "run_started":
                found.append(Started(fields["iter"], fields["iter"], None))
            elif fields["event"] == "step_done" and found:
                at = found[-1].first_step_at or datetime.fromisoformat(fields["time"]).timestamp()
                found[-1] = Started(found[-1].resumed, fields["iter"], at)
        return found

    def redone(self) -> list[int]:
        """Steps that were taken again after each time it was disturbed."""
        return [before.last - after.resumed for before, after in itertools.pairwise(self.starts())]

    def train(self) -> None:
        """Carry the command out in this process, which ends with it."""
        for path, stream in ((self.stdout, 1), (self.stderr, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        if self.cold:
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "-m", "gptmill", *self.argv])
        self.before()
        from gptmill.cli.main import main

        main(self.argv)


def fork(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process; returns its pid."""
    pid = os.fork()
    if pid == 0:
        leave_by(work)
    return pid


def leave_by(work: Callable[[], None]) -> None:
    """Do the work and end this process, whatever comes of it."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int) -> int:
    """Exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def preload(folder: Path) -> None:
    """Prepare the data and import what a run imports.

    Nothing of torch may run in this process, because its threads would not survive the fork: so a child trains, and
    says which modules it took.
    """
    listed = folder / "modules"

    def probe() -> None:
        try:
            Run(folder / "probe", folder / "data", ("--max_iters=2",)).train()
        finally:
            listed.write_text("\n".join(name for name in sys.modules if name.startswith(SLOW_TO_IMPORT)))

    if wait(fork(probe)) != 0:
        raise SystemExit((folder / "probe.stderr").read_text())
    for name in listed.read_text().split():
        importlib.import_module(name)
    share_templates(folder / "probe")


def share_templates(run: Path) -> None:
    """Compile the templates of a report in this process: each child would, which is a quarter of a short run's time."""
    from jinja2 import Environment

    from gptmill.cli.report import write_page

    real, kept = Environment.compile, dict[Any, Any]()

    def compile_once(self: Environment, source: Any, name: str | None = None, *rest: Any) -> Any:
        if (source, name) not in kept:
            kept[source, name] = real(self, source, name, *rest)
        return kept[source, name]

    Environment.compile = compile_once  # type: ignore[method-assign]
    write_page(run, run / "report.html", "--out")
