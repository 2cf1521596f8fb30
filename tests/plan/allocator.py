"""What torch's own CPU allocator says: bytes alive after forward and at most, over one real micro-step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from gptmill.model.gpt import build
from gptmill.shapes import ModelShape

MARK = 7777  # float32 numbers in a tensor that marks the end of forward


class Measured(NamedTuple):
    held: int  # for backward, the head's gradients included
    peak: int
    left: int  # gradients


def measure(shape: ModelShape, batch: int, dtype: str, accumulated: bool) -> Measured:
    """Bytes beside the weights, and beside the gradients that are there before when ``accumulated``."""
    model = build(shape, seed=0)
    ids_BS = torch.randint(0, shape.vocab_size, (batch, shape.block_size + 1))
    keys_B = torch.arange(batch, dtype=torch.int32) if shape.dropout else None

    def micro_step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = model(ids_BS[:, :-1], ids_BS[:, 1:], keys_B) / 2
        torch.zeros(MARK)
        loss.backward()

    micro_step()  # whatever is made once
    if not accumulated:
        model.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        micro_step()
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    events = recorded.profiler.kineto_results.events()
    live = peak = held = 0
    for _, size in sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"):
        if size == 4 * MARK:
            held = live
        live += size
        peak = max(peak, live)
    return Measured(held, peak, live)
