from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptmill.config.schema import Config
from gptmill.errors import ConfigError, DataError
from gptmill.plan.horizon import Horizon, settle_horizon, steps_for_epochs, windows_per_epoch

OPENWEBTEXT = 9_035_582_198  # tokens of train.bin, as nanoGPT's data/openwebtext/readme.md prints
WIKITEXT_103 = 230_312 * 512 + 1  # the shortest text with 230,312 sequences of 512


def settle(windows: int | None = 1000, effective_batch_size: int = 10, **keys: Any) -> Horizon:
    return settle_horizon(Config(**keys), windows=windows, effective_batch_size=effective_batch_size)


def test_openwebtext_takes_17234_steps_an_epoch_and_34468_for_two() -> None:
    windows = windows_per_epoch(OPENWEBTEXT, 1024)
    assert windows == 8_823_810
    assert steps_for_epochs(1, windows, 512) == 17_234
    assert steps_for_epochs(2, windows, 512) == 34_468


def test_wikitext_103_takes_7198_steps_an_epoch() -> None:
    assert windows_per_epoch(WIKITEXT_103, 512) == 230_312
    assert steps_for_epochs(1, 230_312, 32) == 7_198


@given(n_tokens=st.integers(0, 400), block_size=st.integers(2, 50))
def test_windows_equal_those_cut_by_hand(n_tokens: int, block_size: int) -> None:
    tokens = list(range(n_tokens))
    cut = 0
    while len(tokens) >= block_size + 1:  # inputs and the target one beyond them
        tokens = tokens[block_size:]
        cut += 1
    assert windows_per_epoch(n_tokens, block_size) == cut


@given(quarters=st.integers(1, 40), windows=st.integers(1, 2000), batch=st.integers(1, 300))
def test_steps_equal_a_loop_that_stops_when_one_percent_of_a_batch_is_left(
    quarters: int, windows: int, batch: int
) -> None:
    unseen = quarters * windows * 100  # in hundredths of a quarter window: integers only
    steps = 0
    while unseen > batch * 4:  # one percent of a batch
        unseen -= batch * 400
        steps += 1
    assert steps_for_epochs(quarters / 4, windows, batch) == max(1, steps)


@given(tenths=st.integers(1, 100), windows=st.integers(1, 200).map(lambda n: 10 * n))
def test_a_decimal_number_of_epochs_adds_no_step_for_its_binary_tail(tenths: int, windows: int) -> None:
    assert steps_for_epochs(tenths / 10, windows, 1) == tenths * windows // 10


@given(max_tokens=st.integers(1, 10**6), batch=st.integers(1, 64), block_size=st.integers(2, 64))
def test_max_tokens_is_never_exceeded_and_never_a_whole_step_short(
    max_tokens: int, batch: int, block_size: int
) -> None:
    keys = {"max_tokens": max_tokens, "block_size": block_size}
    if max_tokens < batch * block_size:
        with pytest.raises(ConfigError, match="max_tokens"):
            settle(effective_batch_size=batch, **keys)
        return
    tokens = settle(effective_batch_size=batch, **keys).max_iters * batch * block_size
    assert max_tokens - batch * block_size < tokens <= max_tokens


def test_epochs_beat_the_default_length() -> None:
    assert settle(epochs=2).max_iters == 200


def test_epochs_without_data_say_how_to_prepare_it() -> None:
    with pytest.raises(DataError, match=r"epochs=2: .* gptmill prepare --dataset openwebtext"):
        settle(windows=None, epochs=2)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"epochs": 1, "max_tokens": 10**6}, "epochs=1 and max_tokens=1000000: .* keep one"),
        ({"min_lr": 1e-5, "min_lr_ratio": 0.1}, "min_lr=1e-05 and min_lr_ratio=0.1: .* keep one"),
    ],
)
def test_a_length_or_floor_that_cannot_work_names_the_key(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settle(**keys)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        settle(epochs=1, max_tokens=10**6, min_lr=1.0, min_lr_ratio=0.1)
    assert len(refused.value.problems) == 2


def test_decay_and_floor_follow_the_settled_run_unless_set() -> None:
    assert settle(epochs=1) == Horizon(
        100, "cosine", 2000, lr_decay_iters=100, learning_rate=6e-4, min_lr=6e-5, eval_interval=2000
    )
    given_ones = settle(max_iters=50, lr_decay_iters=80, min_lr=1e-5, warmup_iters=60)
    assert given_ones == Horizon(
        50, "cosine", 60, lr_decay_iters=80, learning_rate=6e-4, min_lr=1e-5, eval_interval=2000
    )


@pytest.mark.parametrize(("ratio", "floor"), [(0.1, 6e-5), (0.0, 0.0), (1.0, 6e-4), (None, 6e-5)])
def test_the_floor_is_the_number_a_person_would_write(ratio: float | None, floor: float) -> None:
    assert settle(min_lr_ratio=ratio).min_lr == floor


def test_no_decay_means_a_constant_rate_without_warmup() -> None:
    horizon = settle(decay_lr=False, min_lr=1.0)
    assert (horizon.schedule, horizon.warmup_iters) == ("constant", 0)
