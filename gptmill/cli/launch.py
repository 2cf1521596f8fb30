"""``gptmill launch``: one run as several processes of this machine, which are started again when they die or hang."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gptmill.cli.main import app
from gptmill.cli.say import say
from gptmill.config.resolve import Resolved
from gptmill.errors import GptmillError, UserError
from gptmill.events import Interrupted
from gptmill.parallel.launch import ready_for_processes
from gptmill.plan.nvidia import gpus as find_gpus
from gptmill.supervise.failure import Failure, Retries
from gptmill.supervise.heartbeat import run_file, stack_file, supervisor_file
from gptmill.supervise.slurm import job_file
from gptmill.supervise.watch import LOOK, Watch
from gptmill.track.jsonl import note

TRAINS = ("train", "train-lm")


def launch(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    gpus: int | None = None,
    on: Literal["local", "slurm"] = "local",
    nodes: int = 1,
    hours: float = 24.0,
    hang_after: float | None = None,
) -> int:
    """Train on several devices of this machine, and start again what dies or hangs; or write a job file for Slurm.

    Parameters
    ----------
    argv
        What `gptmill train` takes. Before it, `train` (the default), `train-lm` or the name of a train.py.
    gpus
        How many processes, on each node: one for each GPU; where there is no GPU, processes that share the CPU.
        Without it: one for each GPU that is here.
    on
        slurm: run nothing here, print a job file for sbatch.
    nodes
        How many nodes the job file asks for.
    hours
        How long a job may take; it is saved before that ends, and queued again.
    hang_after
        A hang is a silence of ten usual steps, and of so many seconds at least: 10, or 120 where steps are compiled.
    """
    command, words = _entrance(list(argv))
    for name, number in (("gpus", gpus), ("nodes", nodes), ("hours", hours), ("hang_after", hang_after)):
        if number is not None and number <= 0:
            raise UserError(f"--{name}={number}: must be more than 0")
    if "--explain" in words:
        return int(app([command, *words], result_action="return_value") or 0)
    resolved = _check(command, words)
    if on == "slurm":
        if any(_is_overwrite(word) for word in words):
            raise UserError("--overwrite: would meet the job's own run when it is queued again; choose another out_dir")
        print(job_file(command, words, gpus=gpus or 1, nodes=nodes, hours=hours), end="")
        return 0
    if nodes != 1:
        raise UserError(f"--nodes={nodes}: only with --on=slurm; without Slurm, start torchrun on each node")
    if not hasattr(os, "waitid"):
        raise UserError("gptmill launch: needs Linux, or Python 3.13 on a Mac; start the processes with torchrun")
    here = len(find_gpus())
    if gpus and here and gpus > here and resolved.config.device != "cpu":
        raise UserError(f"--gpus={gpus}: this machine has {here}; try --gpus={here}, or --device=cpu")
    return Supervisor(command, words, gpus or here or 1, hang_after).run()


def _entrance(words: list[str]) -> tuple[str, list[str]]:
    """The command that trains, and what it is given."""
    if words and words[0] in TRAINS:
        return words[0], words[1:]
    if words and Path(words[0]).name == "train.py":
        return "train", words[1:]
    return "train", words


def _check(command: str, words: list[str]) -> Resolved:
    """Find mistakes in the command line before anything is started; the processes find those that are left."""
    from gptmill.cli.own_parts import import_parts
    from gptmill.cli.resuming import load_run
    from gptmill.cli.train_lm import entrance, without_use

    _, bound, _ = app.parse_args([command, *words], exit_on_error=False, print_error=False)
    argv = list(bound.args)
    defaults = None
    if command == "train-lm":
        argv, _ = without_use(argv)
        defaults = entrance(argv)
    return load_run(argv, defaults, import_parts(bound.arguments.get("import_")))


class Supervisor:
    """Starts the processes of a run, and starts them again, until it is done or nothing more can be done.

    Args:
        hang_after: see ``launch``.
    """

    def __init__(self, command: str, words: list[str], processes: int, hang_after: float | None) -> None:
        self._command, self._words, self._processes = command, words, processes
        self._hang_after = hang_after
        self._run_dir: Path | None = None

    def run(self) -> int:
        """Returns the exit code of the run.

        Raises:
            GptmillError: the same step failed again and again.
        """
        from torch.distributed.elastic.multiprocessing import SignalException

        retries = Retries()
        try:
            with tempfile.TemporaryDirectory(prefix="gptmill-") as folder:
                attempt = 0
                while failure := self._attempt(Path(folder) / str(attempt)):
                    pause = retries.pause(failure)
                    self._record(failure, restart=pause is not None)
                    if failure.final:
                        return failure.exit_code
                    if pause is None:
                        raise GptmillError(f"{failure.found}; {retries.reason_to_stop(failure)}")
                    attempt += 1
                    say(f"{failure.found}; starting again in {pause:.0f} s{self._where(failure)}")
                    time.sleep(pause)
        except SignalException as told:
            return 128 + told.sigval
        return 0

    def _attempt(self, folder: Path) -> Failure | None:
        """Run all processes to their end; None when that was a good one."""
        from gptmill.parallel.agent import run_processes

        folder.mkdir()
        supervisor_file(folder).write_text(str(os.getpid()))
        ready_for_processes(folder, self._processes)
        watch = Watch(folder, self._processes, self._hang_after)
        command = [sys.executable, "-m", "gptmill", self._command, *self._argv()]
        codes = run_processes(command, self._processes, folder / "agent", watch, LOOK)
        if run_file(folder).exists():
            self._run_dir = Path(run_file(folder).read_text())
        if codes:
            watch.agent_saw(codes)
        if watch.failure and watch.failure.hung:
            self._keep_stacks(folder, watch.failure)
        return watch.failure

    def _argv(self) -> list[str]:
        """The command line of the first attempt, or the one that goes on with its run."""
        if self._run_dir is None:
            return self._words
        again = [word for word in self._words if not _is_overwrite(word)]
        return [*again, "--resume", f"--out_dir={self._run_dir}"]

    def _keep_stacks(self, folder: Path, failure: Failure) -> None:
        """Put what every process did when they hung into the run folder."""
        if self._run_dir is None:
            return
        parts = []
        for rank in range(self._processes):
            file = stack_file(folder, rank)
            stacks = file.read_text() if file.exists() else ""
            parts.append(f"rank {rank}\n{stacks or 'no stacks: the process did not answer'}\n")
        with contextlib.suppress(OSError):  # a full disk does not keep the run from going on
            (self._run_dir / _stacks(failure)).write_text("\n".join(parts))

    def _where(self, failure: Failure) -> str:
        if not failure.hung or self._run_dir is None:
            return ""
        return f"; stacks of all processes: {self._run_dir / _stacks(failure)}"

    def _record(self, failure: Failure, restart: bool) -> None:
        """Add the end of these processes to the run's own record, which nobody else has open now."""
        if self._run_dir is None:
            return
        event = Interrupted(
            iter=failure.iter or 0,
            kind="hung" if failure.hung else "died",
            says=failure.found,
            sequences=failure.sequences,
            action="restart" if restart else "stop",
        )
        with contextlib.suppress(OSError):
            note(self._run_dir, event)


def _is_overwrite(word: str) -> bool:
    return word.partition("=")[0] == "--overwrite"


def _stacks(failure: Failure) -> str:
    return f"stacks_step_{failure.iter or 0:08}.txt"
