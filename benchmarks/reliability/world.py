"""One run on 1, 2, 4 and 1 processes in turn, killed in between, under each way of sharing out its state.

Every sequence must be read, with the tokens that the undisturbed run of one process read under its number, and none beyond.
Losses and weights are sums over the processes in another order: equal but for rounding, which is measured.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from typing import Any

import numpy as np
import safetensors.numpy

from benchmarks.reliability import witness
from benchmarks.reliability.ranks import PATIENCE, Ranks
from benchmarks.reliability.runs import INTERVAL, Run, Workshop, wait

WORLDS = (1, 2, 4, 1)  # the last one is not killed
STRATEGIES = ("ddp", "zero1", "fsdp")
ROUNDS, STEPS, SEQUENCES = 2, 120, 16
SETTINGS = (
    "--gradient_accumulation_steps=4", "--dtype=float32", f"--max_iters={STEPS}", f"--lr_decay_iters={STEPS}",
    "--fsdp_min_num_params=0", "--keep_last_n_snapshots=2", "--import=benchmarks.reliability.witness",
)  # fmt: skip
NEAR = 1e-4  # nats per token: losses this far apart are those of another run


def trial(shop: Workshop) -> dict[str, Any]:
    import benchmarks.reliability.witness  # noqa: F401  (before anything forks)

    alone = Witnessed(shop, "alone")
    alone.run().complete()
    expected, losses, weights = alone.order(), alone.losses(), alone.weights()
    strategies, failures = {}, []
    for strategy in STRATEGIES:
        kills = completed = same = 0
        redone: list[int] = []
        furthest = moved = 0.0
        rounds = shop.count(ROUNDS)
        for number in range(rounds):
            moving = Witnessed(shop, f"{strategy}-{number}", strategy)
            try:
                kills += moving.go_through(shop)
            except RuntimeError as error:
                failures.append(f"{strategy}, round {number}: {error}")
                continue
            completed += 1
            same += moving.order() == expected
            mine = moving.losses()
            furthest = max(furthest, *(abs(mine.get(step, np.inf) - loss) for step, loss in losses.items()))
            moved = max(moved, *(float(np.abs(moving.weights()[name] - weights[name]).max()) for name in weights))
            redone += moving.run().redone()
        strategies[strategy] = {
            "rounds": rounds,
            "kills": kills,
            "completed": completed,
            "order_equal": same,
            "loss_difference_most": furthest,
            "weight_difference_most": moved,
            "steps_redone_most": max(redone, default=0),
        }
        print(
            f"  {strategy}: {' -> '.join(map(str, WORLDS))} processes, {kills} SIGKILLs over {rounds} runs: "
            f"{completed}/{rounds} completed, {same}/{rounds} read the same tokens in the same order; losses of the "
            f"{STEPS} steps differ by {furthest:.1e} at most, weights by {moved:.1e}; at most {max(redone, default=0)} steps "
            "redone",
            flush=True,
        )
    print(*failures, sep="\n  ", flush=True)
    good = all(
        row["completed"] == row["order_equal"] == row["rounds"] and row["loss_difference_most"] < NEAR
        for row in strategies.values()
    )
    return {
        "good": good and not failures,
        "worlds": list(WORLDS),
        "steps": STEPS,
        "order_sha256": expected,
        "strategies": strategies,
        "failures": failures,
    }


class Witnessed:
    """A run whose processes write down what they read."""

    def __init__(self, shop: Workshop, name: str, strategy: str | None = None) -> None:
        self._shop, self._name = shop, name
        self._seen = shop.folder / f"{name}-seen"
        self._seen.mkdir()
        self._settings = (*SETTINGS, *([f"--strategy={strategy}"] if strategy else []))
        os.environ[witness.FOLDER] = str(self._seen)

    def run(self) -> Run:
        return Run(self._shop.folder / self._name, self._shop.data, self._settings)

    def go_through(self, shop: Workshop) -> int:
        """Train on each number of processes in turn; returns how many were killed.

        Raises:
            RuntimeError: it ended before it was to, or not at all.
        """
        for processes in WORLDS[:-1]:
            before = self.run().committed()
            if processes == 1:
                pid = self.run().start()
                self._wait_for(before + 2 * INTERVAL)
                time.sleep(shop.rng.uniform(0, 0.5))
                os.kill(pid, signal.SIGKILL)
                if wait(pid) != -signal.SIGKILL:
                    raise RuntimeError(f"ended before it was killed: {self.run().complaint()}")
                continue
            ranks = Ranks(shop, self._name, 0, processes, self._settings)
            self._wait_for(before + 2 * INTERVAL, ranks)
            time.sleep(shop.rng.uniform(0, 0.5))
            if not ranks.kill(shop.rng.randrange(processes)):
                raise RuntimeError(f"{processes} processes ended before one was killed: {ranks.run.complaint()}")
            ranks.process.wait(PATIENCE)
        self.run().complete()
        return len(WORLDS) - 1

    def _wait_for(self, step: int, ranks: Ranks | None = None) -> None:
        until = time.monotonic() + PATIENCE
        while self.run().committed() < step:
            if time.monotonic() > until or (ranks and ranks.ended()):
                raise RuntimeError(f"never saved step {step}: {self.run().complaint()}")
            time.sleep(0.02)

    def order(self) -> str | None:
        """SHA-256 over what the sequences held, by their numbers; None where one was missed, or read as two things."""
        seen = witness.read_back(self._seen)
        if sorted(seen) != list(range(STEPS * SEQUENCES)) or any(len(held) > 1 for held in seen.values()):
            return None
        return hashlib.sha256("".join(digest for n in sorted(seen) for digest in seen[n]).encode()).hexdigest()

    def losses(self) -> dict[int, float]:
        """The last recorded loss of each step."""
        return {fields["iter"]: fields["loss"] for fields in self.run().events() if fields["event"] == "step_done"}

    def weights(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = safetensors.numpy.load_file(
            self.run().folder / "checkpoints" / f"step_{STEPS:08}" / "model.safetensors"
        )
        return found
