"""What fits, and what to do where nothing does; the judge of each config is the memory model itself."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from gptmill.config.schema import Config
from gptmill.plan.batch import in_micro_steps
from gptmill.plan.devices import find_device, machine_of
from gptmill.plan.fit import LARGEST_BATCH, fits, largest_batch, nearest_fit, needs, refusal
from gptmill.plan.plan import make_plan
from gptmill.plan.types import Machine, Plan

GIB = 2**30


def planned(device: str = "4090", world_size: int = 1, **keys: Any) -> Plan:
    return make_plan(Config(**keys), data=None, machine=machine_of(find_device(device)), world_size=world_size)


@pytest.mark.parametrize("limit", [6, 8.5, 24, 80])
def test_one_more_sequence_than_the_largest_batch_does_not_fit(limit: float) -> None:
    plan, room = planned(), int(limit * GIB)
    most = largest_batch(plan, room)
    assert 0 < most < LARGEST_BATCH
    assert needs(replace(plan, batch_size=most)) <= room < needs(replace(plan, batch_size=most + 1))


def test_where_nothing_fits_the_largest_batch_is_none() -> None:
    assert largest_batch(planned(), GIB) == 0 and nearest_fit(planned(), GIB) is None


@pytest.mark.parametrize(
    ("device", "world_size", "keys"),
    [
        ("4090", 1, {"batch_size": 480, "gradient_accumulation_steps": 1}),
        ("t4", 1, {"batch_size": 48, "effective_batch_size": 480}),
        ("3060", 4, {"batch_size": 60, "effective_batch_size": 480}),
        (
            "3060",
            2,
            {"batch_size": 60, "effective_batch_size": 121, "strategy": "ddp"},
        ),  # odd: a multiple would lose one
        ("3060", 1, {"n_layer": 24, "n_head": 16, "n_embd": 1024, "batch_size": 97, "gradient_accumulation_steps": 1}),
    ],
)
def test_the_nearest_config_fits_reads_the_same_step_and_a_larger_one_would_not(
    device: str, world_size: int, keys: dict[str, Any]
) -> None:
    plan = planned(device, world_size, **keys)
    assert fits(plan) is False
    change = nearest_fit(plan)
    assert change
    again = planned(device, world_size, **{**keys, "effective_batch_size": None, **change.settings})
    assert fits(again) and again.effective_batch_size == plan.effective_batch_size
    if "activation_checkpointing" not in change.settings:
        assert not fits(in_micro_steps(plan, again.micro_steps - 1, plan.batch_size))


def test_checkpointing_is_the_second_resort() -> None:
    keys = {"n_layer": 24, "n_head": 16, "n_embd": 1024, "block_size": 8192}
    plan = planned("3060", batch_size=1, gradient_accumulation_steps=4, **keys)
    assert fits(plan) is False
    change = nearest_fit(plan)
    assert change and change.settings["activation_checkpointing"] is True and fits(change.plan)


def test_the_refusal_is_one_sentence_with_both_numbers_and_the_way_out() -> None:
    says = refusal(planned(batch_size=480, gradient_accumulation_steps=1))
    assert says
    way_out = r" on NVIDIA GeForce RTX 4090; nearest that fits: batch_size=\d+, (gradient_accumulation_steps|effective_batch_size)=\d+$"
    assert re.search(r"^batch_size=480: needs [\d.]+ GiB of 23\.99 GiB" + way_out, says)
    assert refusal(planned()) is None
    assert "a smaller model" in (refusal(planned(n_layer=48, n_head=25, n_embd=1600)) or "")


def test_of_a_device_whose_memory_is_not_known_nothing_is_said() -> None:
    plan = make_plan(Config(), data=None, machine=Machine("cuda", "NVIDIA GPU", 1, None, bf16=True))
    assert fits(plan) is None and refusal(plan) is None
