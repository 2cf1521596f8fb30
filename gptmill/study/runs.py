"""Carries out a list of runs: each in its own process and its own folder, some at a time, none of them twice.

Nothing is remembered but what lies in the run folders (record.py), so the same call goes on wherever the last one ended,
however it ended. A run that was begun goes on with ``--resume``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from gptmill.durable import replace
from gptmill.errors import TryAgain
from gptmill.study.record import ERROR, OUTPUT, STOPPED, Result, Run, last_line, result
from gptmill.study.standing import Going, Standing, max_iters
from gptmill.supervise.failure import cause
from gptmill.supervise.heartbeat import read_beat, supervisor_file
from gptmill.track.describe import is_run

LOOK = 0.1  # seconds between two looks at the processes
TRAIN = (sys.executable, "-m", "gptmill", "train")
BUSY = 5.0  # seconds until a run that another process has is looked at again
DONE = ("finished", "stopped")

Environment = Callable[[int, Path], dict[str, str]]  # (place, folder for signs of life) -> of the process


class Stop(Protocol):
    """Becomes the number of a signal that asks to end."""

    signal: int | None


class Runner:
    """
    Args:
        study: the folder of all run folders, held by this process.
        places: how many runs at a time.
        environment: of the process in a place.
        words: of every command line besides the run's own.
        stop: looked at all the time; a signal ends the processes in order, which saves their state.
        watch: called after every look; may name running ids to be stopped for good, with the reason.
    """

    def __init__(
        self,
        study: Path,
        places: int,
        environment: Environment,
        stop: Stop,
        *,
        words: Sequence[str] = (),
        watch: Callable[[Standing], dict[str, str]] = lambda _: {},
        stop_on_failure: bool = False,
        look: float = LOOK,
        program: Sequence[str] = TRAIN,
    ) -> None:
        self.study, self.environment, self.stop, self.watch = study, environment, stop, watch
        self.words, self.program = words, program
        self.stop_on_failure, self.look = stop_on_failure, look
        self.standing = Standing()
        self._free = list(range(places))
        self._busy: deque[tuple[float, Run]] = deque()  # with the time at which each is tried again
        self._ending: dict[str, str] = {}  # id -> why the study stops it
        self._halting = False

    def carry_out(self, runs: Iterable[Run]) -> list[Result]:
        """Bring every run to its end, or all to a halt by a signal; a run is asked for when there is a place for it.

        Returns:
            what became of each that ended.
        """
        waiting = iter(runs)
        with tempfile.TemporaryDirectory(prefix="gptmill-") as folder:
            try:
                while not self._halted() and (self._fill(waiting, Path(folder)) or self.standing.going or self._busy):
                    self._tell()
                    time.sleep(self.look)
                    self._collect()
            finally:
                self._end_all()
        self.watch(self.standing)
        return self.standing.ended

    def _halted(self) -> bool:
        failed = self.stop_on_failure and any(each.state == "failed" for each in self.standing.ended)
        return failed or self.stop.signal is not None

    def _fill(self, waiting: Iterator[Run], folder: Path) -> bool:
        """Start what there is a place for; False when nothing waits any more."""
        while self._free:
            run = self._again() or next(waiting, None)
            if run is None:
                return False
            found = result(self.study, run)
            if found.state in DONE:
                self.standing.ended.append(found)
            else:
                self._start(run, folder)
        return True

    def _again(self) -> Run | None:
        if self._busy and self._busy[0][0] <= time.monotonic():
            return self._busy.popleft()[1]
        return None

    def _start(self, run: Run, folder: Path) -> None:
        place, run_dir = self._free.pop(0), self.study / run.id
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (run_dir / ERROR).unlink(missing_ok=True)
        beats = Path(tempfile.mkdtemp(dir=folder))
        supervisor_file(beats).write_text(str(os.getpid()))
        words = [*run.argv, *self.words, f"--out_dir={run_dir}"]
        if is_run(run_dir):  # it has recorded which model it began with
            words = [word for word in words if not word.replace("-", "_").startswith("__init_from")] + ["--resume"]
        if run.settings:
            replace(self.study / f"{run.id}.yaml", as_config(run))
            words.append(str(self.study / f"{run.id}.yaml"))
        with open(run_dir / OUTPUT, "ab") as output:
            process = subprocess.Popen(
                [*self.program, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment(place, beats),
                start_new_session=True,  # Ctrl-C is for the study, which passes it on
            )
        self.standing.going.append(Going(run, place, process, beats))

    def _tell(self) -> None:
        for each in self.standing.going:
            if (beat := read_beat(each.beats, 0)) is not None:
                each.iter = beat.iter
            if each.max_iters is None:
                each.max_iters = max_iters(self.study / each.run.id)
        wanted = self.watch(self.standing)
        for each in self.standing.going:
            if each.run.id in wanted and each.run.id not in self._ending:
                self._ending[each.run.id] = wanted[each.run.id]
                each.process.send_signal(signal.SIGTERM)

    def _collect(self) -> None:
        """Take up what has ended."""
        for each in list(self.standing.going):
            if (code := each.process.poll()) is None:
                continue
            self.standing.going.remove(each)
            self._free.append(each.place)
            if code == TryAgain.exit_code:
                says = last_line(self.study / each.run.id / OUTPUT).removeprefix("error: ")
                if not any(run == each.run for _, run in self._busy) and says not in self.standing.notices:
                    self.standing.notices.append(says)
                self._busy.append((time.monotonic() + BUSY, each.run))
            else:
                self._settle(each, code)

    def _settle(self, each: Going, code: int) -> None:
        """Write down how a run ended that its own record does not tell of."""
        folder = self.study / each.run.id
        found = result(self.study, each.run)
        if found.state != "finished":
            if each.run.id in self._ending:
                says = {"iter": each.iter, "says": self._ending[each.run.id]}
                replace(folder / STOPPED, (json.dumps(says) + "\n").encode())
            elif not self._halting:
                told = last_line(folder / OUTPUT).removeprefix("error: ")
                line = f"{cause(code)}: {told}" if told else cause(code)
                replace(folder / ERROR, f"{line}\n".encode())
            else:
                return
        self.standing.work += 1.0
        self.standing.ended.append(result(self.study, each.run))

    def _end_all(self) -> None:
        """Ask every process to finish its step and save, and wait until all have."""
        self._halting = True  # what ends now was told to: it has not failed
        for each in self.standing.going:
            each.process.send_signal(signal.SIGTERM)
        while self.standing.going:
            self.watch(self.standing)
            time.sleep(self.look)
            self._collect()


def as_config(run: Run) -> bytes:
    """The settings as a YAML config; JSON's quotes are YAML's too."""
    lines = [f"{name}: {'null' if value is None else json.dumps(value)}\n" for name, value in run.settings.items()]
    return "".join(lines).encode()
