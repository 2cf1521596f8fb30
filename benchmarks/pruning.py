"""What pruning costs GPT-2 124M: seconds of an update that prunes more, of every other one, and of the optimizer beside it.

    python -m benchmarks.pruning [--device cpu]

On a CPU these are processor seconds of one thread. Prints the figures and writes them to benchmarks/results/pruning_DEVICE.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from gptmill.cli.parts import new_state
from gptmill.config.schema import Config
from gptmill.optim.pruning.methods import METHODS
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import make_plan
from gptmill.plan.pruning import kept_bytes, n_prunable

RESULTS = Path(__file__).parent / "results"


def seconds(work: Callable[[], object], device: str) -> float:
    if device == "cpu":
        began = time.process_time()
        work()
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def measure(method: str, device: str) -> dict[str, float]:
    """Half of the weights pruned at step 50, at step 51 nothing more."""
    settings = {"pruning_warmup": 0, "pruning_ramp_end": 50, "target_sparsity": 0.5, "device": device}
    config = Config(pruning_method=method, **settings)
    plan = make_plan(config, data=None, machine=detect_machine(device))
    state = new_state(plan)
    assert state.pruner
    generator = torch.Generator(device).manual_seed(1)

    def gradients() -> None:
        for weight in state.model.parameters():
            weight.grad = torch.randn(weight.shape, device=device, generator=generator)

    gradients()
    state.pruner.begin()
    state.optimizer.step()
    if device != "cpu":  # kernels are picked when first used
        state.pruner.prune(25)
    gradients()
    found = {
        "optimizer": seconds(state.optimizer.step, device),
        "learning": seconds(lambda: state.pruner and state.pruner.learn(1.0), device),
        "pruning": seconds(lambda: state.pruner and state.pruner.prune(50), device),
        "keeping_zero": seconds(lambda: state.pruner and (state.pruner.begin(), state.pruner.prune(51)), device),
    }
    assert state.pruner.n_pruned == round(0.5 * n_prunable(plan))
    return {**found, "kept_bytes": kept_bytes(plan), "prunable": n_prunable(plan)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(1)
    methods = {method: measure(method, device) for method in METHODS}
    for method, found in methods.items():
        print(method, {name: round(value, 3) for name, value in found.items()})
    name = platform.processor() or platform.machine() if device == "cpu" else torch.cuda.get_device_name()
    about = {"device": name, "torch": torch.__version__, "threads": 1, "seconds": methods}
    (RESULTS / f"pruning_{device}.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
