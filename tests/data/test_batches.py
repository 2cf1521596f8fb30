from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptmill.config.schema import Config
from gptmill.data.batches import SAMPLINGS, Batches, fixed_batches
from gptmill.data.tokens import Tokens
from gptmill.errors import DataError
from gptmill.seeds import splitmix64, stream_key
from tests.data.toys import counting


def test_splitmix64_gives_the_published_sequence():
    # the reference generator seeded with 1234567, its first five outputs (rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64)
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64(1234567, np.arange(1, 6, dtype=np.uint64)).tolist() == published


def test_samplings_are_those_of_the_schema():
    assert set(SAMPLINGS) == set(Config.model_fields["sampling"].annotation.__args__)


@given(st.integers(2, 400), st.integers(2, 40), st.integers(0, 2**63), st.integers(0, 5))
def test_every_window_comes_exactly_once_an_epoch_and_covers_all_predictable_tokens(n_tokens, block_size, seed, epoch):
    if n_tokens < block_size + 1:
        return
    n_windows = (n_tokens - 1) // block_size
    batch = Batches(counting(n_tokens), block_size, seed).take(epoch * n_windows, n_windows)
    targets = sorted(batch[:, 1:].ravel().tolist())
    assert targets == list(range(1, n_windows * block_size + 1))


def test_epochs_have_different_orders_and_follow_each_other_seamlessly():
    batches = Batches(counting(1001), 10, seed=1)
    epochs = [batches.take(100 * epoch, 100) for epoch in range(3)]
    assert not np.array_equal(epochs[0], epochs[1]) and not np.array_equal(epochs[1], epochs[2])
    assert np.array_equal(batches.take(0, 300), np.concatenate(epochs))


@pytest.mark.parametrize("sampling", list(SAMPLINGS))
@given(first=st.integers(0, 10_000), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_data_does_not_depend_on_how_a_batch_is_split(sampling, first, sizes):
    whole = Batches(counting(500), 8, seed=3, sampling=sampling).take(first, sum(sizes))
    batches = Batches(counting(500), 8, seed=3, sampling=sampling)
    starts = np.cumsum([first, *sizes[:-1]]).tolist()
    parts = {start: batches.take(start, size) for start, size in reversed(list(zip(starts, sizes)))}
    assert np.array_equal(whole, np.concatenate([parts[start] for start in starts]))


@pytest.mark.parametrize("sampling", list(SAMPLINGS))
def test_inputs_and_targets_are_shifted_by_one_as_in_nanogpt(sampling):
    data = np.random.default_rng(0).permutation(1000).astype(np.uint16)  # no id twice: the first tells the offset
    batch = Batches(Tokens(data), 16, seed=5, sampling=sampling).take(0, 50)
    for row in batch:
        i = int(np.flatnonzero(data == row[0])[0])
        x, y = data[i : i + 16], data[i + 1 : i + 1 + 16]  # nanoGPT's get_batch
        assert np.array_equal(row[:-1], x) and np.array_equal(row[1:], y)
    assert batch.dtype == np.int64 and batch.shape == (50, 17)


def test_random_windows_reach_the_first_and_the_last_offset_of_nanogpt_evenly():
    offsets = Batches(counting(50), 10, seed=1, sampling="random").take(0, 40_000)[:, 0]
    seen, times = np.unique(offsets, return_counts=True)
    assert seen.tolist() == list(range(40))  # randint(len(data) - block_size)
    assert abs(times - 1000).max() < 160  # five standard deviations


def test_seed_and_stream_change_the_order():
    def order(seed: int, stream: str) -> bytes:
        return Batches(counting(1001), 10, seed, stream=stream).take(0, 100).tobytes()

    assert len({order(1, "train"), order(2, "train"), order(1, "val"), order(12, "train")}) == 4
    assert stream_key(1, "1/2") != stream_key(1, 1, 3)


def test_another_process_sees_the_same_data():
    code = (
        "import numpy as np, hashlib; from gptmill.data.batches import Batches; from gptmill.data.tokens import Tokens;"
        "t = Tokens(np.arange(5000, dtype=np.uint32));"
        "print(hashlib.sha256(b''.join(Batches(t, 9, 7, s).take(1, 999).tobytes() for s in ('shuffle', 'random'))).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_fixed_batches_are_the_same_every_time_distinct_and_in_text_order():
    windows = fixed_batches(counting(2001), 20, seed=1, n=30)
    assert np.array_equal(windows, fixed_batches(counting(2001), 20, seed=1, n=30))
    assert not np.array_equal(windows, fixed_batches(counting(2001), 20, seed=2, n=30))
    assert windows.shape == (30, 21) and (np.diff(windows[:, 0]) >= 20).all()


def test_fixed_batches_beyond_the_split_are_every_window_once():
    assert fixed_batches(counting(101), 20, seed=1, n=1000)[:, 0].tolist() == [0, 20, 40, 60, 80]


def test_a_split_shorter_than_one_window_is_refused_with_the_numbers():
    with pytest.raises(DataError, match=r"20 tokens.*33.*--block_size"):
        Batches(counting(20), 32, seed=1)
    assert Batches(counting(33), 32, seed=1).take(0, 2).shape == (2, 33)


def test_an_id_outside_the_vocabulary_stops_the_batch_of_a_bare_file():
    tokens = Tokens(np.array([1, 2, 3, 70, 5], dtype=np.uint16), "x/train.bin", vocab_size=65)
    with pytest.raises(DataError, match=r"x/train.bin: token id 70 .*vocab_size=65"):
        Batches(tokens, 4, seed=1).take(0, 1)
