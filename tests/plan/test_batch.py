from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gptmill.config.schema import Config
from gptmill.errors import ConfigError
from gptmill.plan.batch import micro_batch, neighbours, settle_batch

SMALL = st.integers(1, 60)


def test_accumulation_is_summed_over_devices() -> None:
    batch = settle_batch(Config(batch_size=12, gradient_accumulation_steps=40), world_size=8)
    assert (batch.micro_steps, batch.effective_batch_size, batch.gradient_accumulation_steps) == (5, 480, 40)


def test_four_devices_keep_the_batch_of_eight() -> None:
    config = Config(batch_size=12, gradient_accumulation_steps=40)
    assert settle_batch(config, 4).effective_batch_size == settle_batch(config, 8).effective_batch_size
    assert settle_batch(config, 4).micro_steps == 10


def test_world_size_that_does_not_divide_names_both_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"39 \(468 sequences per step\) or 42 \(504 sequences per step\)"):
        settle_batch(Config(batch_size=12, gradient_accumulation_steps=40), world_size=3)


def test_fewer_sequences_than_devices_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"effective_batch_size=4: leaves one of 8 devices .*; try 8"):
        settle_batch(Config(batch_size=12, effective_batch_size=4), world_size=8)
    with pytest.raises(ConfigError, match=r"effective_batch_size=3: .* try 2 or 4"):
        settle_batch(Config(batch_size=1, effective_batch_size=3), world_size=2)


def test_huge_prime_batches_are_settled_at_once() -> None:
    batch = settle_batch(Config(batch_size=2_000_000_000, effective_batch_size=2_147_483_647), world_size=1)
    assert (batch.batch_size, batch.micro_steps) == (1_073_741_824, 2)


@given(batch_size=SMALL, micro_steps=SMALL, world_size=st.integers(1, 16))
def test_counting_sequences_device_by_device_gives_the_effective_batch(
    batch_size: int, micro_steps: int, world_size: int
) -> None:
    counted = sum(batch_size for _device in range(world_size) for _micro_step in range(micro_steps))
    by_steps = settle_batch(
        Config(batch_size=batch_size, gradient_accumulation_steps=micro_steps * world_size), world_size
    )
    by_total = settle_batch(Config(batch_size=batch_size, effective_batch_size=counted), world_size)
    assert by_steps == by_total
    assert by_steps.effective_batch_size == counted
    assert by_steps.micro_steps == micro_steps


@given(wanted=st.integers(1, 500), batch_size=st.integers(1, 40), world_size=st.integers(1, 9))
def test_every_sequence_of_a_step_is_taken_once_in_micro_batches_as_even_as_can_be(
    wanted: int, batch_size: int, world_size: int
) -> None:
    assume(wanted >= world_size and (batch_size > 1 or wanted % world_size == 0))
    plan = SimpleNamespace(**vars(settle_batch(Config(batch_size=batch_size, effective_batch_size=wanted), world_size)))
    taken: list[int] = []
    sizes = set()
    for micro_step in range(plan.micro_steps):
        for rank in range(world_size):
            first, count = micro_batch(plan, micro_step, rank)  # type: ignore[arg-type]
            taken += range(first, first + count)
            sizes.add(count)
    assert taken == list(range(wanted))
    assert max(sizes) == plan.batch_size <= batch_size and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert plan.micro_steps == math.ceil(wanted / (batch_size * world_size))


@given(n=st.integers(1, 500), step=st.integers(1, 60))
def test_neighbours_are_the_closest_multiples_on_both_sides(n: int, step: int) -> None:
    multiples = [step * k for k in range(1, 600)]
    below = [m for m in multiples if m <= n]
    assert neighbours(n, step) == ([max(below)] if below else []) + [min(m for m in multiples if m > n)]
