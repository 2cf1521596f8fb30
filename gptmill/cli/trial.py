"""A trial of a micro-batch: what does training with it hold at most?

On a CPU a process of its own takes two real steps. A heap that other trials have been through keeps their holes: the same
steps held up to 40% more after them (docs/log.md, 2026-11-21). A fresh process holds what a run will, and one that the
system kills takes nobody along. On a GPU the run's own process tries, for starting and compiling take longer than steps.

    python -m gptmill.cli.trial < {"plan": ..., "imports": [...]}     # prints bytes, or null when memory ran out
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gptmill.cli.own_parts import IMPORTED, import_parts
from gptmill.cli.parts import new_state, trace_held
from gptmill.errors import GptmillError, is_out_of_memory
from gptmill.plan.batch import micro_batch
from gptmill.plan.memory import memory_of
from gptmill.plan.types import Plan
from gptmill.shapes import ModelShape
from gptmill.track.summary import peak_host_memory
from gptmill.train.device import autocast, dropout_keys, give_back_memory, to_device
from gptmill.train.state import TrainState

STEPS = 2  # the optimizer's states exist from the end of the first on
MICRO_STEPS = 4  # of each: gradients are there, and a heap of blocks of two sizes has its holes


def trial_apart(plan: Plan) -> int | None:
    """Bytes that a process training with this micro-batch holds at most; None: it ran out of memory, or was killed for it.

    Raises:
        GptmillError: the trial failed for another reason.
    """
    request = json.dumps({"plan": asdict(replace(plan, advice=())), "imports": IMPORTED})
    command = [sys.executable, "-m", "gptmill.cli.trial"]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    if done.returncode == -9:
        return None
    if done.returncode:
        says = done.stderr.strip().split("\n")[-1]
        raise GptmillError(f"batch_size={plan.batch_size}: could not be tried: {says}")
    used: int | None = json.loads(done.stdout)
    alone, shared = (memory_of(at, trace=trace_held).optimizer for at in (_worst(plan), plan))
    return None if used is None else used - (alone - shared)  # the trial's moments are whole


def _take_steps(plan: Plan) -> int:
    """Real steps on random tokens, from the first weights on; their most bytes, those of the whole process."""
    from gptmill.parallel.launch import Place
    from gptmill.parallel.single import Single
    from gptmill.train.step import train_step
    from gptmill.train.watch import Watch

    state, engine, generator = new_state(plan), Single(Place()), np.random.default_rng(0)
    forward, watch = engine.wrap(state.model, plan), Watch(plan, state)

    def take(first: int, count: int) -> np.ndarray:
        return generator.integers(plan.shape.vocab_size, size=(count, plan.shape.block_size + 1), dtype=np.int64)

    for _ in range(STEPS):
        train_step(state, plan, engine, forward, take, watch)
    return peak_host_memory()


def trial_here(plan: Plan, state: TrainState, forward: Callable[..., Tensor]) -> int | None:
    """Bytes held on the GPU at the costliest moment of a step, moments included that are not there yet; None: it ran out.

    That is forward and backward over what a micro-batch holds, gradients already there; the weights stay as they are.
    """
    give_back_memory(plan.device)  # so that this trial's peak is its own
    torch.cuda.reset_peak_memory_stats()
    generator, worst = np.random.default_rng(0), _worst(plan)
    try:
        for micro_step in range(worst.micro_steps):
            first, count = micro_batch(worst, micro_step, rank=0)
            ids_BS = generator.integers(plan.shape.vocab_size, size=(count, plan.shape.block_size + 1), dtype=np.int64)
            x_BT, y_BT = to_device(ids_BS, plan.device)
            keys_B = dropout_keys(plan, first, count) if plan.shape.dropout else None
            with autocast(plan):
                loss = forward(x_BT, y_BT, keys_B)
            loss.backward()
            del x_BT, y_BT, keys_B, loss
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        state.optimizer.zero_grad(set_to_none=True)
    moments = 0 if state.optimizer.state else memory_of(plan, trace=trace_held).optimizer
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved() + torch.cuda.max_memory_reserved() + moments


def _worst(plan: Plan) -> Plan:
    """A few of one device's micro-steps, the largest there are, in both sizes where they cannot all be equal.

    At least two among several processes: what carries their gradients keeps room for all of them.
    """
    micro_steps = min(MICRO_STEPS, max(plan.micro_steps, min(plan.world_size, 2)))
    uneven = plan.effective_batch_size < plan.batch_size * plan.micro_steps * plan.world_size
    sequences = micro_steps * plan.batch_size - (uneven and micro_steps > 1)
    return replace(
        plan, world_size=1, strategy="none", micro_steps=micro_steps, gradient_accumulation_steps=micro_steps,
        effective_batch_size=sequences, tokens_per_iter=sequences * plan.shape.block_size,
        on_nonfinite="skip", on_spike="warn",
    )  # fmt: skip


def _plan_from(fields: dict[str, Any]) -> Plan:
    return Plan(**{**fields, "shape": ModelShape(**fields["shape"]), "advice": ()})


def main() -> None:
    request = json.loads(sys.stdin.read())
    import_parts(request["imports"])
    try:
        used: int | None = _take_steps(_worst(_plan_from(request["plan"])))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        used = None
    print(json.dumps(used))


if __name__ == "__main__":
    main()
