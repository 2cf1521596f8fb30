"""Two processes under torchrun, one of which is killed again and again: torchrun starts both anew, the run continues.

Every run must complete with the batches of the undisturbed run of two processes and its weights. A kill may fall into
the imports, which take the longest; three of four wait until training goes on, and come at a random moment from there.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.runs import INTERVAL, LENGTH, ROOT, Run, Workshop
from benchmarks.reliability.storm import percentiles

KILLS, PER_RUN = 60, 6
SETTINGS = ("--gradient_accumulation_steps=2", "--dtype=float32")
PATIENCE = 180.0  # seconds until a run that takes no step has failed


def trial(shop: Workshop) -> dict[str, Any]:
    undisturbed = Ranks(shop, "undisturbed", restarts=0)
    if undisturbed.process.wait() != 0:
        raise RuntimeError(undisturbed.run.complaint())
    expected = undisturbed.run.printed()["weights_sha256"]
    losses = undisturbed.losses()
    length = undisturbed.training_seconds()
    kills, runs, completed, equal, same_losses = 0, 0, 0, 0, 0
    redone: list[int] = []
    seconds: list[float] = []
    failures: list[str] = []
    n_kills = shop.count(KILLS)
    while kills < n_kills:
        runs += 1
        ranks = Ranks(shop, f"killed-{runs}", restarts=PER_RUN)
        died: list[float] = []
        started = 0
        while len(died) < PER_RUN and kills < n_kills:
            in_training = kills % 4 > 0
            if in_training and not ranks.wait_for_start(started):
                break
            time.sleep(shop.rng.uniform(0, length if in_training else 3.0))
            if not ranks.kill(shop.rng.randrange(2)):
                break
            died.append(time.time())
            started = len(ranks.run.starts())
            kills += 1
        try:
            code = ranks.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            ranks.process.kill()
            code = ranks.process.wait()
        if code != 0:
            failures.append(f"run {runs}: exit code {code}: {ranks.run.complaint()}")
            continue
        completed += 1
        equal += ranks.run.printed()["weights_sha256"] == expected
        same_losses += ranks.losses() == losses
        redone += ranks.run.redone()
        steps = [start.first_step_at for start in ranks.run.starts() if start.first_step_at]
        seconds += [min(later) - moment for moment in died if (later := [at for at in steps if at > moment])]
    most = max(redone, default=0)
    p50, p95 = percentiles(seconds)
    print(
        f"  2 ranks: {kills} SIGKILLs over {runs} runs: {completed}/{runs} completed, {equal}/{runs} with the weights and "
        f"{same_losses}/{runs} with every loss of the undisturbed run; steps redone: mean "
        f"{statistics.mean(redone or [0]):.2f}, most {most}; from the kill to the next step: p50 {p50:.1f} s, "
        f"p95 {p95:.1f} s",
        *failures,
        sep="\n  ",
        flush=True,
    )
    return {
        "good": completed == equal == same_losses == runs and most <= INTERVAL,
        "kills": kills,
        "runs": runs,
        "completed": completed,
        "weights_equal": equal,
        "losses_equal": same_losses,
        "steps_redone_mean": round(statistics.mean(redone or [0]), 3),
        "steps_redone_most": most,
        "seconds_to_next_step_p50": round(p50, 2),
        "seconds_to_next_step_p95": round(p95, 2),
        "failures": failures,
    }


class Ranks:
    """A run of several processes that torchrun looks after."""

    def __init__(
        self, shop: Workshop, name: str, restarts: int, processes: int = 2, settings: tuple[str, ...] = SETTINGS
    ) -> None:
        self.run = Run(shop.folder / name, shop.data, settings)
        torchrun = [str(Path(sys.executable).with_name("torchrun")), "--standalone", f"--nproc_per_node={processes}"]
        with open(self.run.stdout, "w") as out, open(self.run.stderr, "w") as err:
            self.process = subprocess.Popen(
                [*torchrun, f"--max-restarts={restarts}", "-m", "gptmill", *self.run.argv],
                cwd=ROOT, stdout=out, stderr=err, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait_for_start(self, n: int) -> bool:
        """Wait until training has started more than ``n`` times; False when the run ended before that."""
        until = time.monotonic() + PATIENCE
        while not self.ended() and time.monotonic() < until:
            if len(self.run.starts()) > n:
                return True
            time.sleep(0.05)
        return False

    def kill(self, rank: int) -> bool:
        """SIGKILL to a process that is there or will be within a moment; False when the run has ended."""
        while not self.ended():
            pid = child_of(self.process.pid, rank)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                return True
            time.sleep(0.02)
        return False

    def losses(self) -> dict[int, float]:
        """The last recorded loss of each step."""
        return {fields["iter"]: fields["loss"] for fields in self.run.events() if fields["event"] == "step_done"}

    def training_seconds(self) -> float:
        start, *_ = self.run.starts()
        steps = [fields["time_ms"] for fields in self.run.events() if fields["event"] == "step_done"]
        assert start.last == LENGTH
        return 2 * sum(steps) / 1000  # half of it goes to evaluations and checkpoints


def child_of(parent: int, rank: int) -> int | None:
    """The pid of the process that torchrun started as this rank, unless it is gone already."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, above = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            mine = int(above) == parent and state != "Z"
            if mine and f"\0RANK={rank}\0" in "\0" + (folder / "environ").read_text():
                return int(folder.name)
        except OSError:
            continue
    return None
