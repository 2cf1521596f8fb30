"""Advice on the device and its number formats."""

from __future__ import annotations

from gptmill.plan.advice.situation import ADVICE, Situation, note
from gptmill.plan.types import Advice


@ADVICE.register("device_replaced")
def device_replaced(run: Situation) -> Advice | None:
    asked = run.config.device
    if asked in ("auto", run.plan.device):
        return None
    return note(
        "device",
        f"the config asks for {asked}, and this run takes {run.plan.device}",
        f"this machine has no {asked} device",
        "device=auto",
    )


@ADVICE.register("half_precision_without_gain")
def half_precision_without_gain(run: Situation) -> Advice | None:
    asked, machine = run.config.dtype, run.machine
    if asked == "bfloat16" and not machine.bf16:
        return note("dtype", f"bfloat16 has no fast path on {machine.name}", "it is emulated", "dtype=auto")
    if asked == "float16" and machine.kind == "cpu":
        return note(
            "dtype", "float16 has no fast path on a CPU", "it is emulated, and needs loss scaling besides", "dtype=auto"
        )
    if asked == "float16" and machine.bf16:
        return note(
            "dtype",
            "float16 needs loss scaling",
            f"on {machine.name} bfloat16 is as fast and does not",
            "dtype=bfloat16",
        )
    return None


@ADVICE.register("not_compiled_on_a_gpu")
def not_compiled_on_a_gpu(run: Situation) -> Advice | None:
    if run.machine.kind != "cuda" or run.plan.compile or run.plan.max_iters == 0:
        return None
    return note(
        "compile",
        "steps are not compiled",
        "nanoGPT's took 135 ms instead of 250 ms on an A100 for a minute's compiling",
        "compile=auto",
    )


@ADVICE.register("full_precision_on_fast_hardware")
def full_precision_on_fast_hardware(run: Situation) -> Advice | None:
    if run.config.dtype != "float32" or not run.machine.bf16:
        return None
    return note(
        "dtype", "float32 matmuls leave speed unused", f"{run.machine.name} is faster in bfloat16", "dtype=auto"
    )
