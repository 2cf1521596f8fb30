"""MFU against figures worked out by hand, and the loss's variance against the standard library's."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Any

import pytest

from gptmill.cli.recording import meter
from gptmill.config.schema import Config
from gptmill.events import EvalDone, RunStarted, StepDone
from gptmill.plan.plan import make_plan
from gptmill.plan.types import Machine, Plan
from gptmill.track.meters import WARMUP_STEPS, WINDOW

DOCUMENTED = {
    "mfu", "mfu_percent", "flops_achieved", "flops_per_token", "tokens_per_sec", "hardware_peak_flops",
    "hardware_peak_tflops", "achieved_tflops", "gpu_name", "precision", "num_gpus", "attention_flops_per_layer",
    "ffn_flops_per_layer", "attention_to_ffn_ratio", "architecture",
}  # fmt: skip


def gpt2(device_name: str = "NVIDIA A100-SXM4-80GB", world_size: int = 1, **keys: Any) -> Plan:
    """GPT-2 124M as nanoGPT trains it, planned for a GPU that need not be here; measured without asking it."""
    machine = Machine("cuda", device_name, cores=8, memory=80 * 2**30, bf16=True)
    plan = make_plan(Config(vocab_size=50304, **keys), data=None, machine=machine, world_size=world_size)
    return dataclasses.replace(plan, device="cpu")


def last(plan: Plan, seconds: float = 4.298, steps: int = WARMUP_STEPS + 1) -> dict[str, Any]:
    """``mfu`` of the last of some equal steps."""
    measure = meter(plan)
    measure(RunStarted(0, 1000, plan.tokens_per_iter))
    for iter in range(1, steps + 1):
        done = measure(StepDone(iter, 4.0, 6e-4, 1.0, plan.tokens_per_iter, seconds))
    assert isinstance(done, StepDone) and done.mfu
    return done.mfu


def test_gpt2_on_an_a100_has_the_mfu_that_is_worked_out_by_hand() -> None:
    mfu = last(gpt2())
    # 12 layers of 8 C C + 4 T C + 4 C F, and the head's 2 V C, three times: forward and twice that backward
    forward = 12 * (8 * 768**2 + 4 * 1024 * 768 + 4 * 768 * 3072) + 2 * 50304 * 768
    assert mfu["flops_per_token"] == 3 * forward and round(3 * forward / 1e9, 4) == 0.8547
    assert round(mfu["tokens_per_sec"]) == 114_360
    assert mfu["achieved_tflops"] == pytest.approx(97.74, abs=0.01)
    assert mfu["mfu_percent"] == pytest.approx(31.3, abs=0.05) and mfu["mfu"] == mfu["mfu_percent"] / 100
    assert mfu["hardware_peak_tflops"] == 312 and mfu["num_gpus"] == 1 and mfu["precision"] == "bfloat16"


def test_a_step_has_exactly_the_documented_members() -> None:
    assert last(gpt2()).keys() == DOCUMENTED


def test_attention_and_feed_forward_are_those_of_one_layer_and_one_sequence() -> None:
    mfu = last(gpt2())
    assert mfu["attention_flops_per_layer"] == 1024 * (8 * 768**2 + 4 * 1024 * 768)
    assert mfu["ffn_flops_per_layer"] == 1024 * 4 * 768 * 3072
    assert mfu["attention_to_ffn_ratio"] == pytest.approx(5 / 6)


def test_speed_is_that_of_all_devices_and_so_is_the_peak() -> None:
    one, eight = last(gpt2()), last(gpt2(world_size=8), seconds=4.298 / 8)  # the same tokens, eight times as fast
    assert eight["tokens_per_sec"] == pytest.approx(8 * one["tokens_per_sec"])
    assert eight["mfu"] == pytest.approx(one["mfu"]) and eight["hardware_peak_flops"] == 8 * 312e12


@pytest.mark.parametrize(("device_name", "dtype"), [("NVIDIA GeForce GTX 1080", "float16"), ("Tesla T4", "bfloat16")])
def test_without_a_published_peak_there_is_no_mfu_but_flops_are_told(device_name: str, dtype: str) -> None:
    mfu = last(gpt2(device_name, dtype=dtype))
    assert mfu["mfu"] is mfu["mfu_percent"] is mfu["hardware_peak_flops"] is mfu["hardware_peak_tflops"] is None
    assert mfu["achieved_tflops"] == pytest.approx(97.74, abs=0.01)


@pytest.mark.parametrize("matmul_precision", ["highest", "high"])
def test_float32_is_held_against_what_its_matmuls_run_in(matmul_precision: str) -> None:
    mfu = last(gpt2(dtype="float32", matmul_precision=matmul_precision))
    assert mfu["hardware_peak_tflops"] == {"highest": 19.5, "high": 156}[matmul_precision]


def test_the_first_steps_of_every_process_have_no_mfu() -> None:
    plan = gpt2()
    measure = meter(plan)
    shares = []
    for first in (0, 20):
        measure(RunStarted(first, 1000, plan.tokens_per_iter))
        for iter in range(first + 1, first + 9):
            done = measure(StepDone(iter, 4.0, 6e-4, 1.0, plan.tokens_per_iter, 4.298))
            assert isinstance(done, StepDone) and done.mfu
            shares.append(done.mfu["mfu"])
    assert [share is None for share in shares] == [True] * 5 + [False] * 3 + [True] * 5 + [False] * 3


def test_a_clock_that_stood_still_gives_no_speed() -> None:
    mfu = last(gpt2(), seconds=0.0)
    assert mfu["tokens_per_sec"] is mfu["flops_achieved"] is mfu["mfu"] is None


def test_loss_variance_is_that_of_the_last_steps_and_passes_over_what_is_no_number() -> None:
    plan = gpt2()
    measure = meter(plan)
    measure(RunStarted(0, 1000, plan.tokens_per_iter))
    losses = [4 + math.sin(iter) for iter in range(2 * WINDOW)]
    losses[-3] = math.nan
    found = [measure(StepDone(iter, loss, 6e-4, 1.0, 64, 0.1)) for iter, loss in enumerate(losses, 1)]
    assert isinstance(found[0], StepDone) and found[0].loss_variance is None
    known = [loss for loss in losses if not math.isnan(loss)][-WINDOW:]
    assert isinstance(found[-1], StepDone)
    assert found[-1].loss_variance == pytest.approx(statistics.variance(known))


def test_other_events_pass_unchanged() -> None:
    event = EvalDone(1, 4.0, 4.1, True, 1.0)
    assert meter(gpt2())(event) is event
