"""What the output penalty costs: time and memory of the vocabulary loss of GPT-2 124M, beside the plain one.

    python -m benchmarks.penalty

512 positions, 50,304 tokens, float32, forward and backward, on a CPU: processor seconds of one thread, the lesser of two, and the most
bytes that torch's allocator held. Prints the figures and writes them to benchmarks/results/penalty_cpu.json.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from gptmill.model.loss import vocabulary_loss
from gptmill.model.penalties import PENALTIES
from gptmill.shapes import Penalty

RESULT = Path(__file__).parent / "results" / "penalty_cpu.json"
SEQUENCES, POSITIONS, WIDTH, VOCABULARY, REPEATS = 2, 256, 768, 50304, 2


def seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def most_bytes(work: Callable[[], None]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    found = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(found, key=lambda event: event.start_ns())))


def work_of(penalty: Penalty | None) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(1)
    hidden_BTC = torch.randn(SEQUENCES, POSITIONS, WIDTH, generator=generator, requires_grad=True)
    weight_VC = (0.02 * torch.randn(VOCABULARY, WIDTH, generator=generator)).requires_grad_()
    targets_BT = torch.randint(VOCABULARY, (SEQUENCES, POSITIONS), generator=generator)

    def work() -> None:
        vocabulary_loss(hidden_BTC, weight_VC, targets_BT, penalty).flatten()[0].backward()
        hidden_BTC.grad = weight_VC.grad = None

    return work


def main() -> None:
    torch.set_num_threads(1)
    works = {"none": work_of(None)} | {kind: work_of(Penalty(kind, 0.01, 5)) for kind in PENALTIES}
    times = [{kind: seconds(work) for kind, work in works.items()} for _ in range(REPEATS)]  # in turn: noise is shared
    found = {
        kind: {"seconds": min(each[kind] for each in times), "bytes": most_bytes(work)} for kind, work in works.items()
    }
    plain = found["none"]
    for kind, one in found.items():
        print(f"{kind}: time x {one['seconds'] / plain['seconds']:.2f}, memory x {one['bytes'] / plain['bytes']:.3f}")
    RESULT.write_text(json.dumps({"torch": torch.__version__, "threads": 1, "kinds": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
