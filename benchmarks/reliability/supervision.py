"""Kill a process of a supervised run, stop one for good: how long until the run goes on, and with which weights.

A small model of two processes under ``gptmill launch``, with the defaults of its watch. Per kind of fault one run, which
meets it again and again at a random moment and is then left alone until it is complete:

1. killed: SIGKILL of one of the two processes.
2. stopped: SIGSTOP of one. Nothing dies; the run is silent.
3. stuck: a process that sleeps in C and holds Python's lock, so that none of its threads can run.

Measured from the fault: until it is on record, until the next step is done; steps done again. The completed run must have
the very weights of one that nothing disturbed. Besides: the last step of three is repeated by a process that always dies
there; what listens beyond this machine under gptmill launch, and under torchrun --standalone.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.reliability.runs import ROOT, Workshop
from tests.supervise.processes import family, listeners, rank_of

FAULTS = 10  # of each kind
RANKS = 2
PATIENCE = 300.0  # seconds for anything to happen
DIES_AT = 25
SETTINGS = [
    "quick", "--n_layer=2", "--n_head=2", "--n_embd=32", "--block_size=32", "--batch_size=4",
    "--gradient_accumulation_steps=2", "--dropout=0.1", "--warmup_iters=10", "--eval_interval=20", "--eval_iters=2",
    "--log_interval=1000", "--device=cpu", "--compile=False",
]  # fmt: skip
SABOTAGE = """
import ctypes, os, signal
from pathlib import Path
import gptmill.train.loop as loop

real, me = loop.train_step, os.environ.get("RANK")

def train_step(state, *rest):
    if os.environ.get("DIES_AT") == str(state.iter) and me == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    if (wish := Path(os.environ["STUCK"] + me)).exists():
        wish.unlink()
        ctypes.PyDLL(None).sleep(10**6)  # unlike a CDLL's, its calls keep Python's lock
    return real(state, *rest)

loop.train_step = train_step
"""


def trial(shop: Workshop) -> dict[str, Any]:
    work, faults = shop.folder, shop.count(FAULTS)
    (work / "data").symlink_to(shop.data)
    (work / "sabotage.py").write_text(SABOTAGE)
    max_iters = 100 * (faults + 1)
    expected = Launched(work, "undisturbed", max_iters).result()["weights_sha256"]
    figures = {
        kind: disturbed(kind, faults, work, max_iters, shop.rng, expected) for kind in ("killed", "stopped", "stuck")
    }
    figures |= {"crash_loop": crash_loop(work), "listeners": exposed(work, max_iters)}
    return {"good": all(figure["good"] for figure in figures.values()), **figures}


class Launched:
    """A supervised run in a folder of its own."""

    def __init__(self, work: Path, name: str, max_iters: int, **environment: str) -> None:
        self.run_dir, self.stuck = work / name, work / f"{name}-stuck-"
        self._stdout = (work / f"{name}.stdout").open("w+")
        self._stderr = (work / f"{name}.stderr").open("w+")
        decay = [f"--max_iters={max_iters}", f"--lr_decay_iters={max_iters}"]
        where = [f"--data_dir={work / 'data'}", f"--out_dir={self.run_dir}", "--json", "--import=sabotage"]
        paths = f"{ROOT}:{work}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gptmill", "launch", f"--gpus={RANKS}", *SETTINGS, *decay, *where],
            stdout=self._stdout, stderr=self._stderr, cwd=work,
            env={**os.environ, "PYTHONPATH": paths, "STUCK": str(self.stuck), **environment},
        )  # fmt: skip

    def events(self) -> list[dict[str, Any]]:
        path = self.run_dir / "metrics.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def wait_for(self, event: str, since: int = 0) -> tuple[int, dict[str, Any]]:
        """The first such event after so many lines of the record, and the number of lines up to it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            for line, fields in enumerate(self.events()[since:], since + 1):
                if fields["event"] == event:
                    return line, fields
            time.sleep(0.02)
        raise RuntimeError(f"no {event} in {self.run_dir}: {self.complaint()}")

    def result(self) -> dict[str, Any]:
        self.process.wait(timeout=PATIENCE)
        self._stdout.seek(0)
        said = self._stdout.read()
        if self.process.returncode or not said:
            raise RuntimeError(f"{self.run_dir}: exit code {self.process.returncode}: {self.complaint()}")
        return json.loads(said)

    def complaint(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()[-2000:]


def disturbed(kind: str, faults: int, work: Path, max_iters: int, rng: random.Random, expected: str) -> dict[str, Any]:
    """One run that meets the fault so many times."""
    run = Launched(work, kind, max_iters)
    seen, goes_on, redone = [], [], []
    for _ in range(faults):
        run.wait_for("checkpoint_saved", len(run.events()))
        time.sleep(rng.uniform(0.0, 0.5))
        rank, line = rng.randrange(RANKS), len(run.events())
        if kind == "stuck":
            Path(f"{run.stuck}{rank}").touch()
        else:
            os.kill(rank_of(run.process.pid, rank), {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}[kind])
        at = time.time()
        line, lost = run.wait_for("interrupted", line)
        line, begun = run.wait_for("run_started", line)
        _, step = run.wait_for("step_done", line)
        seen.append(clock(lost) - at)
        goes_on.append(clock(step) - at)
        redone.append(lost["iter"] - begun["iter"])
    result = run.result()
    same = result["weights_sha256"] == expected
    figures = {
        "faults": faults,
        "seconds_until_noticed": spread(seen),
        "seconds_until_the_next_step": spread(goes_on),
        "steps_redone": {"mean": statistics.mean(redone), "most": max(redone)},
        "goodput": round(result["goodput"], 3),
        "same_weights_as_undisturbed": same,
        "good": same,
    }
    print(f"  {kind}: {json.dumps(figures)}", flush=True)
    return figures


def crash_loop(work: Path) -> dict[str, Any]:
    """A process that always dies at the same step: three times, then it is told with its batch."""
    run = Launched(work, "loop", 100, DIES_AT=str(DIES_AT))
    code = run.process.wait(timeout=PATIENCE)
    starts = sum(fields["event"] == "run_started" for fields in run.events())
    last = run.complaint().strip().splitlines()[-1]
    good = code == 1 and starts == 3 and f"ended in step {DIES_AT + 1} (sequences " in last
    print(f"  crash loop: {starts} starts, exit code {code}, {last!r}", flush=True)
    return {"starts": starts, "exit_code": code, "says": last, "good": good}


def exposed(work: Path, max_iters: int) -> dict[str, Any]:
    """Addresses beyond this machine's own on which the processes of a run listen."""
    run = Launched(work, "listens", max_iters)
    run.wait_for("step_done")
    ours = [str(address) for address in listeners(family(run.process.pid)) if not address.is_loopback]
    run.process.terminate()
    run.process.wait(timeout=PATIENCE)
    script = work / "waits.py"
    script.write_text("import time, torch.distributed as d; d.init_process_group('gloo'); time.sleep(20)")
    torchrun = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}", str(script)],
        stderr=subprocess.DEVNULL,
    )
    time.sleep(15)
    theirs = [str(address) for address in listeners(family(torchrun.pid)) if not address.is_loopback]
    torchrun.terminate()
    torchrun.wait()
    print(f"  listening beyond this machine: gptmill launch {ours}, torchrun --standalone {theirs}", flush=True)
    return {"gptmill_launch": ours, "torchrun_standalone": theirs, "good": not ours}


def spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"p50": round(statistics.median(ordered), 2), "p95": round(p95, 2), "most": round(ordered[-1], 2)}


def clock(fields: dict[str, Any]) -> float:
    return datetime.fromisoformat(fields["time"]).timestamp()
