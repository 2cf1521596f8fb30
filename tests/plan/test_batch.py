from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptmill.config.schema import Config
from gptmill.errors import ConfigError
from gptmill.plan.batch import neighbours, settle_batch

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


def test_unreachable_effective_batch_names_neighbours_and_a_batch_size() -> None:
    with pytest.raises(ConfigError, match=r"effective_batch_size=512: .* try 504 or 528, or batch_size=16"):
        settle_batch(Config(batch_size=24, effective_batch_size=512), world_size=1)


def test_too_small_effective_batch_never_offers_zero() -> None:
    with pytest.raises(ConfigError, match="try 24, or batch_size=2"):
        settle_batch(Config(batch_size=12, effective_batch_size=4), world_size=2)


def test_huge_prime_batches_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"batch_size=1$"):
        settle_batch(Config(batch_size=2_000_000_000, effective_batch_size=2_147_483_647), world_size=1)


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
def test_effective_batch_is_reached_exactly_or_refused_with_ones_that_work(
    wanted: int, batch_size: int, world_size: int
) -> None:
    reachable = {batch_size * world_size * k for k in range(1, 600)}
    config = Config(batch_size=batch_size, effective_batch_size=wanted)
    if wanted in reachable:
        assert settle_batch(config, world_size).effective_batch_size == wanted
        return
    with pytest.raises(ConfigError) as refused:
        settle_batch(config, world_size)
    offered = str(refused.value).rpartition("try ")[2]
    totals = {int(word) for word in offered.partition(", or batch_size")[0].split(" or ")}
    below = [r for r in reachable if r < wanted]
    assert totals == {min(r for r in reachable if r > wanted), *([max(below)] if below else [])}
    if "batch_size=" in offered:
        other = Config(batch_size=int(offered.rpartition("=")[2]), effective_batch_size=wanted)
        assert settle_batch(other, world_size).effective_batch_size == wanted


@given(n=st.integers(1, 500), step=st.integers(1, 60))
def test_neighbours_are_the_closest_multiples_on_both_sides(n: int, step: int) -> None:
    multiples = [step * k for k in range(1, 600)]
    below = [m for m in multiples if m <= n]
    assert neighbours(n, step) == ([max(below)] if below else []) + [min(m for m in multiples if m > n)]
