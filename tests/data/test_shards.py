from __future__ import annotations

import contextlib
import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptmill.data.batches import Batches
from gptmill.data.meta import dtype_for, read_meta
from gptmill.data.shards import SplitWriter, open_tokens
from gptmill.errors import DataError
from tests.data.toys import bare, blocks

in_one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60
)


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_what_is_written_is_raw_little_endian_ids_and_reads_back(tmp_path, dtype):
    ids = np.random.default_rng(0).integers(0, 60_000, 1000).tolist()
    meta = blocks(tmp_path / "d", ids, ids[:100], 60_000, 64, dtype)
    raw = (tmp_path / "d/train.bin").read_bytes()
    assert raw == b"".join(i.to_bytes(np.dtype(dtype).itemsize, "little") for i in ids)
    assert meta.train.max_id == max(ids) and meta.train.tokens == 1000
    assert list(meta.train.sha256) == [hashlib.sha256(raw[i : i + 64]).hexdigest() for i in range(0, len(raw), 64)]
    assert open_tokens(tmp_path / "d/train.bin").ids.tolist() == ids
    assert read_meta(tmp_path / "d") == meta


def test_uint32_is_used_exactly_when_the_vocabulary_needs_it():
    assert [dtype_for(n) for n in (257, 65_536, 65_537, 200_000)] == ["uint16", "uint16", "uint32", "uint32"]


def test_a_uint32_dataset_keeps_ids_that_uint16_would_wrap(tmp_path):
    blocks(tmp_path / "d", [70_000, 65_536, 5, 100_000], [1, 2], 100_001, 64, dtype_for(100_001))
    assert open_tokens(tmp_path / "d/train.bin").ids.tolist() == [70_000, 65_536, 5, 100_000]


@in_one_folder
@given(data=st.data())
def test_every_flipped_bit_is_found_when_its_block_is_touched_and_only_then(tmp_path, data):
    folder = tmp_path / "d"
    ids = [i % 251 for i in range(500)]
    if not folder.exists():
        blocks(folder, ids, ids[:10], 257, 128, "uint16")  # 64 tokens a block
    path = folder / "train.bin"
    clean = path.read_bytes()
    position, bit = data.draw(st.integers(0, len(clean) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(clean[:position] + bytes([clean[position] ^ (1 << bit)]) + clean[position + 1 :])
    try:
        tokens, damaged = open_tokens(path), position // 128
        elsewhere = np.array([block * 64 for block in range(len(ids) // 64) if block != damaged])
        tokens.verify(elsewhere, 64)
        start = data.draw(st.integers(max(0, damaged * 64 - 9), min(damaged * 64 + 63, 490)))
        with pytest.raises(DataError, match=rf"train\.bin: block {damaged} \(from byte {damaged * 128}\)"):
            tokens.verify(np.array([start]), 10)
        with pytest.raises(DataError, match="--overwrite"):
            tokens.verify_all()
    finally:
        path.write_bytes(clean)


def test_batches_refuse_damaged_text(tmp_path):
    blocks(tmp_path / "d", list(range(200)), [1, 2], 257, 64, "uint16")
    path = tmp_path / "d/train.bin"
    path.write_bytes(path.read_bytes()[:200] + b"\x07" + path.read_bytes()[201:])
    with pytest.raises(DataError, match="block 3"):
        Batches(open_tokens(path), 10, seed=1).take(0, 19)


@pytest.mark.parametrize(
    "change", [lambda raw: raw[:-2], lambda raw: raw + b"\0\0", lambda raw: raw[:-1], lambda raw: b""]
)
def test_a_file_of_another_size_than_promised_is_refused(tmp_path, change):
    blocks(tmp_path / "d", list(range(100)), [1, 2], 257, 64, "uint16")
    path = tmp_path / "d/train.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"train\.bin: \d+ bytes, but meta\.json promises 200"):
        open_tokens(path)


def test_nanogpt_files_are_read_as_they_are(tmp_path):
    folder = bare(tmp_path / "d", [1, 50_256, 3], [4, 5])
    assert open_tokens(folder / "train.bin").ids.tolist() == [1, 50_256, 3]


@pytest.mark.parametrize(
    ("raw", "says"),
    [(b"", "0 bytes"), (b"\1\2\3", "3 bytes")],
)
def test_bare_files_that_are_no_tokens_are_refused(tmp_path, raw, says):
    (tmp_path / "train.bin").write_bytes(raw)
    with pytest.raises(DataError, match=says) as caught:
        open_tokens(tmp_path / "train.bin")
    assert "\n" not in str(caught.value)


def test_ids_beyond_the_models_vocabulary_are_refused_on_opening(tmp_path):
    blocks(tmp_path / "d", [1, 200], [1, 2], 257, 64, "uint16")
    with pytest.raises(DataError, match=r"id 200 does not fit vocab_size=200"):
        open_tokens(tmp_path / "d/train.bin", vocab_size=200)
    open_tokens(tmp_path / "d/train.bin", vocab_size=201)


def test_the_writer_refuses_an_id_its_header_could_not_hold(tmp_path):
    with pytest.raises(AssertionError), SplitWriter(tmp_path / "train.bin", "uint16", 100) as writer:
        writer.append(np.array([100]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@in_one_folder
@given(data=st.data())
def test_no_change_to_meta_json_passes_unnoticed_or_crashes(tmp_path, data):
    folder = tmp_path / "d"
    if not folder.exists():
        blocks(folder, list(range(100)), list(range(10)), 257, 64, "uint16")
    path = folder / "meta.json"
    clean = path.read_text()
    body = json.loads(clean)
    place = data.draw(st.sampled_from([body, body["train"], body["val"]]))
    key = data.draw(st.sampled_from(sorted(place)))
    old = place.pop(key)
    if data.draw(st.booleans()):
        place[key] = data.draw(json_values)
    unchecked = place is body and key in ("tokenizer", "source", "source_sha256", "options")  # words for people
    path.write_text(json.dumps(body))
    try:
        if unchecked or json.dumps(place.get(key)) == json.dumps(old):
            with contextlib.suppress(DataError):
                open_tokens(folder / "train.bin")
        else:
            with pytest.raises(DataError, match=r"meta\.json"):
                open_tokens(folder / "train.bin")
    finally:
        path.write_text(clean)


@in_one_folder
@given(
    raw=st.binary(max_size=200)
    | st.integers(1, 5000).map(lambda n: b"[" * 20 * n)
    | st.just(b'{"version":' + b"9" * 9000 + b"}")
)
def test_rubbish_in_meta_json_is_one_data_error(tmp_path, raw):
    (tmp_path / "meta.json").write_bytes(raw)
    with pytest.raises(DataError) as caught:
        read_meta(tmp_path)
    assert "\n" not in str(caught.value) and "meta.json" in str(caught.value)
