"""Kill it anywhere, start it again, get the same bits: the claim, tried out on this machine.

    python benchmarks/reliability.py [--kills 140] [--cold_kills 20] [--flips 200] [--seed N]

Three trials on a small model with dropout, trained on the embedded corpus:

1. kill storm: SIGKILL at a random moment of the run, then the same command again, over and over until it completes.
   Every process is a fork of one that has torch imported, so the moments fall into training and saving, not into
   imports. Each must continue, redo no more steps than lie between two checkpoints, and the completed run must have
   the very weights of one that was never disturbed.
2. the same with cold starts of ``python -m gptmill``, imports included.
3. bit flips: one random bit of one random file of the newest checkpoint, then a resume through the real load path.
   It must name the file and restore the checkpoint before, bit for bit.

Prints the figures, writes them with the machine's details to benchmarks/results/reliability.json, and exits 1 when
anything failed.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
INTERVAL = 5  # steps between checkpoints
SETTINGS = [
    "quick", "--n_layer=2", "--n_head=2", "--n_embd=32", "--block_size=32", "--batch_size=4",
    "--gradient_accumulation_steps=1", "--dropout=0.1", "--max_iters=60", "--warmup_iters=10", "--lr_decay_iters=60",
    f"--snapshot_interval={INTERVAL}", "--eval_interval=30", "--eval_iters=2", "--device=cpu", "--compile=False",
]  # fmt: skip


class Trial:
    """One run of the small model that can be started, killed and started again.

    Args:
        cold: start ``python -m gptmill`` instead of forking this process.
    """

    def __init__(self, folder: Path, data_dir: Path, *, cold: bool) -> None:
        self.folder = folder
        self.argv = ["train", *SETTINGS, f"--data_dir={data_dir}", f"--out_dir={folder}", "--resume", "--json"]
        self._cold = cold
        self._stdout, self._stderr = folder.with_suffix(".stdout"), folder.with_suffix(".stderr")

    def start(self) -> int:
        """Start the process; returns its pid."""
        return fork(self._train)

    def finish(self) -> dict[str, Any]:
        """What the completed process printed."""
        return json.loads(self._stdout.read_text())

    def complaint(self) -> str:
        return self._stderr.read_text()[-2000:]

    def starts(self) -> list[tuple[int, int]]:
        """For each process that got as far as training: (the step it continued from, the last step it recorded)."""
        found: list[tuple[int, int]] = []
        for line in (self.folder / "metrics.jsonl").read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue
            fields = json.loads(line)
            if fields["event"] == "run_started":
                found.append((fields["iter"], fields["iter"]))
            elif fields["event"] == "step_done":
                found[-1] = (found[-1][0], fields["iter"])
        return found

    def _train(self) -> None:
        for path, stream in ((self._stdout, 1), (self._stderr, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        if self._cold:
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "-m", "gptmill", *self.argv])
        from gptmill.cli.main import main

        main(self.argv)


def fork(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
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
        os._exit(code)


def wait(pid: int) -> int:
    """Exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def uninterrupted(trial: Trial) -> tuple[str, float]:
    """Weights hash and length [s] of a run that nobody disturbs."""
    began = time.monotonic()
    code = wait(trial.start())
    seconds = time.monotonic() - began
    if code != 0:
        raise SystemExit(f"the uninterrupted run ended with exit code {code}:\n{trial.complaint()}")
    return trial.finish()["weights_sha256"], seconds


def storm(n_kills: int, work: Path, data_dir: Path, rng: random.Random, *, cold: bool, expected: str) -> dict[str, Any]:
    """Kill runs at random moments until ``n_kills`` processes died, completing every run that was begun."""
    kind = "cold" if cold else "warm"
    undisturbed, length = uninterrupted(Trial(work / f"{kind}-length", data_dir, cold=cold))
    began = time.monotonic()
    kills, in_training, runs, equal, redone, failures = 0, 0, 0, 0, [], []
    while kills < n_kills:
        runs += 1
        trial = Trial(work / f"{kind}-{runs}", data_dir, cold=cold)
        while True:
            pid = trial.start()
            if kills < n_kills:
                time.sleep(rng.uniform(0, length))
                os.kill(pid, signal.SIGKILL)  # a process that has ended is still ours to signal until wait()
            code = wait(pid)
            if code != -signal.SIGKILL:
                break
            kills += 1
        if code != 0:
            failures.append(f"run {runs}: exit code {code}: {trial.complaint()}")
            continue
        result = trial.finish()
        equal += result["weights_sha256"] == expected
        starts = trial.starts()
        in_training += len(starts) - 1  # all but the one that completed; the other kills came before the first step
        redone += [last - resumed for (_, last), (resumed, _) in itertools.pairwise(starts)]
    most = max(redone, default=0)
    if undisturbed != expected:
        failures.append(f"an undisturbed {kind} run has the weights {undisturbed}, not {expected}")
    good = equal == runs and most <= INTERVAL and not failures
    print(
        f"{kind} starts: {kills} SIGKILLs ({in_training} while training or saving) over {runs} runs of {length:.2f} s: "
        f"{runs - len(failures)}/{runs} completed, "
        f"{equal}/{runs} with the undisturbed weights; steps redone per kill: "
        f"mean {sum(redone) / max(1, len(redone)):.2f}, most {most} (checkpoints every {INTERVAL})",
        *failures,
        sep="\n",
    )
    return {
        "good": good,
        "kills": kills,
        "kills_while_training": in_training,
        "runs": runs,
        "completed": runs - len(failures),
        "weights_equal": equal,
        "weights_sha256": expected,
        "steps_redone_mean": sum(redone) / max(1, len(redone)),
        "steps_redone_most": most,
        "checkpoint_interval": INTERVAL,
        "run_seconds": length,
        "seconds": time.monotonic() - began,
        "failures": failures,
    }


def flip_bits(n_flips: int, run: Path, rng: random.Random, report: Path) -> None:
    """Flip one bit at a time in the newest checkpoint of a completed run and resume; writes counts to ``report``."""
    import torch

    from gptmill.cli.dataset import ready_data
    from gptmill.cli.parts import new_state
    from gptmill.config.load import load as load_config
    from gptmill.plan.hardware import detect_machine
    from gptmill.plan.plan import make_plan
    from gptmill.train.checkpoint import load, resume
    from gptmill.train.facts import run_facts
    from gptmill.train.members import weights_sha256

    torch.set_num_threads(1)
    config = load_config([*SETTINGS, f"--data_dir={run.parent / 'data'}"]).config
    data = ready_data(config)
    plan = make_plan(config, data=data, machine=detect_machine("cpu"))
    facts = run_facts(plan, data)
    *_, previous, newest = sorted((run / "checkpoints").iterdir())
    state = new_state(plan)
    load(previous, state)
    expected = state.iter, weights_sha256(state.model)
    found, named = 0, 0
    for _ in range(n_flips):
        path = rng.choice(sorted(newest.iterdir()))
        whole = path.read_bytes()
        bit = rng.randrange(len(whole) * 8)
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        state = new_state(plan)
        _, says = resume(run, state, facts)
        found += (state.iter, weights_sha256(state.model)) == expected
        named += any(str(path) in line for line in says)
        path.write_bytes(whole)
    report.write_text(json.dumps({"flips": n_flips, "fell_back_bit_equal": found, "file_named": named}))


def flips(n_flips: int, run: Path, seed: int) -> dict[str, Any]:
    report = run.parent / "flips.json"
    code = wait(fork(lambda: flip_bits(n_flips, run, random.Random(seed), report)))
    if code != 0:
        return {"good": False, "failures": [f"exit code {code}"]}
    counts = json.loads(report.read_text())
    print(
        f"bit flips: {n_flips} in the newest checkpoint: {counts['file_named']}/{n_flips} found and the file named, "
        f"{counts['fell_back_bit_equal']}/{n_flips} resumed bit for bit from the one before"
    )
    return {"good": counts["fell_back_bit_equal"] == counts["file_named"] == n_flips, **counts}


def preload() -> None:
    """Import what a run imports; no operation may run, because its threads would not survive the fork."""
    rooms = ("cli.train", "data.batches", "model.gpt", "optim.optimizers", "parallel.single")
    recorders = ("track.console", "track.summary", "train.checkpointer", "train.facts", "train.loop")
    for name in (*rooms, *recorders):
        importlib.import_module(f"gptmill.{name}")
    importlib.import_module("torch._dynamo")  # the first optimizer step would pull it in, for a second


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=140, help="processes to kill, forked")
    parser.add_argument("--cold_kills", type=int, default=20, help="processes to kill, started cold")
    parser.add_argument("--flips", type=int, default=200, help="single bits to flip")
    parser.add_argument("--seed", type=int, default=20, help="decides the moments and the bits")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "reliability.json")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    os.environ["OMP_NUM_THREADS"] = "1"  # forked children cannot inherit a thread pool; and bits depend on the count
    sys.path.insert(0, str(ROOT))
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="gptmill-reliability-") as name:
        work = Path(name)
        preload()
        details = machine()
        expected, _ = uninterrupted(Trial(work / "warm-reference", work / "data", cold=False))
        figures = {
            "kill_storm": storm(asked.kills, work, work / "data", rng, cold=False, expected=expected),
            "kill_storm_cold": storm(asked.cold_kills, work, work / "data", rng, cold=True, expected=expected),
            "bit_flips": flips(asked.flips, work / "warm-reference", asked.seed),
        }
    good = all(figure["good"] for figure in figures.values())
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    when = time.strftime("%Y-%m-%d", time.gmtime())
    asked.out.write_text(
        json.dumps({"date": when, "seed": asked.seed, "good": good, "machine": details, **figures}, indent=1) + "\n"
    )
    print(f"{'all good' if good else 'FAILED'}; figures in {asked.out}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
