from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptmill.data import sharded
from gptmill.data.batches import SAMPLINGS, Batches, fixed_batches
from gptmill.data.facts import dataset_tokenizer, facts_notice, read_facts
from gptmill.data.shards import open_tokens
from gptmill.data.tokenizers import gpt2 as gpt2_file
from gptmill.data.tokenizers import load_tokenizer
from gptmill.data.tokens import Tokens
from gptmill.errors import DataError, UserError
from tests.data.toys import bare, in_one_folder, llmc_file, prepared

GPT2, LLAMA3 = {"magic": 20240520, "version": 1}, {"magic": 20240801, "version": 7}
NUMBERED = [("web_train_000001.bin", 100), ("web_train_000002.bin", 7), ("web_train_000003.bin", 60)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without GPT-2's files, on a machine without a network."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))


def random_ids(n: int, below: int = 50_257) -> list[int]:
    return np.random.default_rng(n).integers(0, below, n).tolist()


def sharded_folder(folder: Path, **flavour: int) -> tuple[list[int], list[int]]:
    """llm.c's layout; returns all ids of both splits in the order llm.c's own loader reads them."""
    train: list[int] = []
    for name, n in reversed(NUMBERED):  # written last to first: the order is that of the names
        train[:0] = random_ids(n)
        llmc_file(folder / name, random_ids(n), **flavour)
    llmc_file(folder / "web_val_000000.bin", random_ids(50), **flavour)
    return train, random_ids(50)


@pytest.mark.parametrize("flavour", [GPT2, LLAMA3], ids=["gpt2", "llama-3"])
@pytest.mark.parametrize("names", [("train.bin", "val.bin"), ("TinyStories_train.bin", "TinyStories_val.bin")])
def test_llmcs_single_files_are_read_as_they_are(tmp_path, flavour, names):
    train, val = random_ids(300), random_ids(40)
    for name, ids in zip(names, (train, val)):
        llmc_file(tmp_path / "d" / name, ids, **flavour)
    facts = read_facts(str(tmp_path), "d")
    assert (facts.train_tokens, facts.val_tokens) == (300, 40)
    assert (facts.tokenizer, facts.vocab_size) == (("gpt2", 50_257) if flavour is GPT2 else ("llama-3", 128_256))
    assert open_tokens(tmp_path / "d/train.bin").ids.tolist() == train
    assert open_tokens(tmp_path / "d/val.bin").ids.tolist() == val


@pytest.mark.parametrize("flavour", [GPT2, LLAMA3], ids=["gpt2", "llama-3"])
@pytest.mark.parametrize("length", [1, 6, 8, 100, 101, 167])  # shorter and longer than the shards
def test_shards_hold_every_window_of_the_files_put_together(tmp_path, flavour, length):
    train, _ = sharded_folder(tmp_path / "d", **flavour)
    tokens = open_tokens(tmp_path / "d/train.bin")
    assert len(tokens) == len(train) == 167
    offsets = np.random.default_rng(0).permutation(len(train) - length + 1)
    assert tokens.windows(length)[offsets].tolist() == [train[i : i + length] for i in offsets]


@pytest.mark.parametrize("sampling", list(SAMPLINGS))
def test_batches_of_shards_are_those_of_one_file(tmp_path, sampling):
    train, val = sharded_folder(tmp_path / "d")
    tokens, one = open_tokens(tmp_path / "d/train.bin", 50_304), Tokens(np.array(train, np.uint16))
    drawn = [Batches(source, 9, seed=3, sampling=sampling).take(5, 200) for source in (tokens, one)]
    assert np.array_equal(*drawn) and drawn[0].dtype == np.int64
    fixed = fixed_batches(open_tokens(tmp_path / "d/val.bin"), 9, seed=3, n=99)
    assert np.array_equal(fixed, fixed_batches(Tokens(np.array(val, np.uint16)), 9, seed=3, n=99))


def test_more_shards_than_may_be_open_at_once_are_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(sharded, "most_open_files", lambda: 3)
    ids = random_ids(200)
    for n in range(40):
        llmc_file(tmp_path / f"x_train_{n:06d}.bin", ids[5 * n : 5 * n + 5])
    before = len(os.listdir("/proc/self/fd"))
    tokens = open_tokens(tmp_path / "train.bin")
    assert tokens.windows(12)[np.arange(188)].tolist() == [ids[i : i + 12] for i in range(188)]
    assert len(os.listdir("/proc/self/fd")) - before <= 3


def test_shards_go_by_number_not_by_spelling(tmp_path):
    for n in (10, 9, 2):
        llmc_file(tmp_path / f"x_train_{n}.bin", [n, n])
    assert open_tokens(tmp_path / "train.bin").windows(6)[np.array([0])].tolist() == [[2, 2, 9, 9, 10, 10]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda raw: raw[:-2], r"1222 bytes, but llm\.c's header promises 1224 \(100 uint16 tokens\)"),
        (lambda raw: raw + b"\0\0", "1226 bytes, but llm.c's header promises 1224"),
        (lambda raw: raw[:1024], "1024 bytes, but llm.c's header promises 1224"),
        (lambda raw: raw[:600], r"600 bytes end inside llm\.c's header of 1024"),
        (lambda raw: raw[:4], r"4 bytes end inside llm\.c's header"),
        (lambda raw: raw[:8] + struct.pack("<i", 0) + raw[12:], "promises 0 tokens"),
        (lambda raw: raw[:8] + struct.pack("<i", -5) + raw[12:], "promises -5 tokens"),
        (lambda raw: raw[:8] + struct.pack("<i", 2**31 - 1) + raw[12:], r"promises \d+ \(2147483647 uint16 tokens\)"),
        (lambda raw: raw[:4] + struct.pack("<i", 2) + raw[8:], "header has version 2, this program reads 1"),
        (lambda raw: struct.pack("<i", 20240522) + raw[4:], "multiple-choice questions"),
        (lambda raw: struct.pack(">i", 20240520) + raw[4:], r"does not begin with llm\.c's header"),
        (lambda raw: b"", r"does not begin with llm\.c's header"),
    ],
)
def test_a_header_that_cannot_be_true_is_one_data_error_naming_the_file(tmp_path, change, says):
    sharded_folder(tmp_path / "d")
    path = tmp_path / "d" / "web_train_000001.bin"
    path.write_bytes(change(path.read_bytes()))
    for check in (lambda: read_facts(str(tmp_path), "d"), lambda: open_tokens(tmp_path / "d/train.bin")):
        with pytest.raises(DataError, match=says) as caught:
            check()
        assert "web_train_000001.bin: " in str(caught.value) and "\n" not in str(caught.value)


def test_headers_are_checked_without_numpy(tmp_path):
    sharded_folder(tmp_path / "d")
    code = (
        "import sys; from gptmill.data.facts import *; print(facts_notice(read_facts(sys.argv[1], 'd')));"
        "sys.exit(bool({'numpy', 'torch', 'tokenizers', 'gigatoken'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert "llm.c's 3 and 1 shards, each split read as one stream, gpt2 tokens" in done.stdout


def test_a_missing_split_and_mixed_kinds_are_told_in_one_line(tmp_path):
    sharded_folder(tmp_path / "d")
    (tmp_path / "d/web_val_000000.bin").unlink()
    with pytest.raises(DataError, match=r"val\.bin: missing; beside web_train_000001\.bin lies no file .* with _val"):
        read_facts(str(tmp_path), "d")
    llmc_file(tmp_path / "d/web_val_000000.bin", [1, 2], **LLAMA3)
    with pytest.raises(DataError, match=r"training tokens are of one kind \(gpt2\), validation .* \(llama-3\)"):
        read_facts(str(tmp_path), "d")
    llmc_file(tmp_path / "d/web_train_000002.bin", [1, 2], **LLAMA3)
    with pytest.raises(DataError, match=r"000002\.bin: holds llama-3 tokens, but web_train_000001\.bin beside it gpt2"):
        read_facts(str(tmp_path), "d")


def test_files_of_other_names_are_told_how_they_should_be_called(tmp_path):
    llmc_file(tmp_path / "d/fineweb_000001.bin", [1, 2])
    with pytest.raises(DataError, match=r"d: holds 'fineweb_000001\.bin', but .* NAME_val_000000\.bin; rename them"):
        read_facts(str(tmp_path), "d")


def test_prepare_does_not_write_among_shards_unasked(tmp_path):
    sharded_folder(tmp_path / "data/toy")
    with pytest.raises(UserError, match="holds another dataset already"):
        prepared(tmp_path, "a text\n" * 9)


def test_nanogpts_and_llmcs_files_are_not_mixed(tmp_path):
    llmc_file(bare(tmp_path / "d", [1, 2], [3, 4]) / "val.bin", [3, 4])
    with pytest.raises(DataError, match=r"one kind \(no header\), validation tokens of another \(gpt2\)"):
        read_facts(str(tmp_path), "d")


def test_a_gap_in_the_numbering_is_told_and_the_stream_goes_on_without_it(tmp_path):
    train, _ = sharded_folder(tmp_path / "d")
    assert "should be there too" not in facts_notice(read_facts(str(tmp_path), "d"))
    (tmp_path / "d/web_train_000002.bin").unlink()
    assert "web_train_000002.bin should be there too" in facts_notice(read_facts(str(tmp_path), "d"))
    tokens = open_tokens(tmp_path / "d/train.bin")
    assert tokens.windows(160)[np.array([0])].tolist() == [train[:100] + train[107:]]
    llmc_file(tmp_path / f"d/web_train_{10**100}.bin", [1])  # naming all that lie between would fill the memory
    assert len(facts_notice(read_facts(str(tmp_path), "d"))) < 1000


@given(change=st.sampled_from(["first token", "one more shard", "a shard less", "other order"]))
@in_one_folder
def test_other_shards_have_another_fingerprint(tmp_path_factory, change):
    folder = tmp_path_factory.mktemp("f") / "d"
    sharded_folder(folder)
    first = read_facts(str(folder.parent), "d").sha256
    assert first == read_facts(str(folder.parent), "d").sha256
    if change == "first token":
        llmc_file(folder / "web_train_000002.bin", [1, *random_ids(7)[1:]])
    elif change == "one more shard":
        llmc_file(folder / "web_train_000004.bin", [1])
    elif change == "a shard less":
        (folder / "web_train_000003.bin").unlink()
    else:
        (folder / "web_train_000003.bin").rename(folder / "web_train_000000.bin")
    assert read_facts(str(folder.parent), "d").sha256 != first


def test_a_name_that_would_move_the_cursor_is_no_shard(tmp_path):
    sharded_folder(tmp_path / "d")
    llmc_file(tmp_path / "d/\x1b[2J\n_train_000009.bin", [1])
    assert read_facts(str(tmp_path), "d").train_tokens == 167


def test_an_id_outside_the_vocabulary_is_named_by_shard_and_place(tmp_path):
    ids = random_ids(60)
    sharded_folder(tmp_path / "d")
    llmc_file(tmp_path / "d/web_train_000003.bin", [*ids[:17], 60_000, *ids[18:]])
    batches = Batches(open_tokens(tmp_path / "d/train.bin", vocab_size=50_304), 16, seed=1)
    with pytest.raises(DataError, match=r"web_train_000003\.bin: token id 60000 \(token 17\) .*vocab_size=50304"):
        batches.take(0, 10)


def test_a_shard_cut_while_training_is_a_data_error(tmp_path):
    sharded_folder(tmp_path / "d")
    tokens = open_tokens(tmp_path / "d/train.bin")
    (tmp_path / "d/web_train_000002.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"000002\.bin: cannot be mapped any more"):
        tokens.windows(120)[np.array([0])]


@pytest.mark.usefixtures("home")
def test_without_gpt2s_files_a_run_saves_the_tokenizers_name_and_sampling_says_where_they_belong(tmp_path):
    sharded_folder(tmp_path / "d")
    tokenizer = dataset_tokenizer(read_facts(str(tmp_path), "d"))
    assert (tokenizer.name, tokenizer.vocab_size, tokenizer.end_of_text) == ("gpt2", 50_257, 50_256)
    (tmp_path / "run").mkdir()
    tokenizer.save(tmp_path / "run")
    assert json.loads((tmp_path / "run/tokenizer.json").read_text()) == {"kind": "gpt2", "name": "gpt2"}
    with pytest.raises(DataError, match=r"could not be downloaded .*put encoder\.json and vocab\.bpe") as caught:
        load_tokenizer(tmp_path / "run").decode([1])
    assert str(gpt2_file.cache_folder()) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.usefixtures("home")
def test_with_gpt2s_files_at_hand_a_run_keeps_them(tmp_path, monkeypatch):
    sharded_folder(tmp_path / "d")
    made = load_tokenizer(_gpt2_stand_in(gpt2_file.cache_folder(), monkeypatch))
    (tmp_path / "run").mkdir()
    dataset_tokenizer(read_facts(str(tmp_path), "d")).save(tmp_path / "run")
    assert load_tokenizer(tmp_path / "run").encode("a text, être") == made.encode("a text, être")
    assert (tmp_path / "run/vocab.bpe").exists()


def _gpt2_stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of GPT-2's form in the user's cache; the real ones have half a million lines and a licence of their own."""
    import hashlib

    from gptmill.data.tokenizers import make_tokenizer

    folder.mkdir(parents=True)
    make_tokenizer("bpe-300", ["a text is a text is a text, être ou ne pas être"]).save(folder)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in gpt2_file.SHA256}
    monkeypatch.setattr(gpt2_file, "SHA256", digests)
    return folder


def test_llama3_shards_train_but_have_no_tokenizer_here(tmp_path):
    sharded_folder(tmp_path / "d", **LLAMA3)
    assert dataset_tokenizer(read_facts(str(tmp_path), "d")) is None


def test_shards_of_two_datasets_in_one_folder_are_not_mixed(tmp_path):
    for name in ("a_train_000001.bin", "b_train_000001.bin", "b_val_000000.bin"):
        llmc_file(tmp_path / "d" / name, random_ids(50))
    with pytest.raises(DataError, match=r"holds shards of 2 datasets \(a, b\); put each into a folder of its own"):
        read_facts(str(tmp_path), "d")
