from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

from gptmill.data.facts import dataset_tokenizer, facts_notice, read_facts
from gptmill.data.shards import open_tokens
from gptmill.errors import DataError, UserError
from tests.data.toys import bare, blocks, prepared

TEXT = "To be, or not to be: that is the question.\n"


def nanogpt_char(folder, text: str = TEXT):
    """What nanoGPT's data/shakespeare_char/prepare.py leaves: ids of the sorted characters, 90 % train, and a pickle."""
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}
    n = int(len(text) * 0.9)
    bare(folder, [stoi[c] for c in text[:n]], [stoi[c] for c in text[n:]])
    (folder / "input.txt").write_text(text)
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(stoi), "stoi": stoi}))
    return folder


def test_facts_are_those_of_the_prepared_dataset(tmp_path):
    report = prepared(tmp_path, TEXT * 10)
    facts = read_facts(str(tmp_path / "data"), "toy")
    assert (facts.train_tokens, facts.val_tokens) == (report.train_tokens, report.val_tokens) == (387, 43)
    assert (facts.vocab_size, facts.tokenizer, facts.sha256) == (257, "byte", report.sha256)
    assert facts_notice(facts) is None


def test_facts_need_neither_numpy_nor_torch(tmp_path):
    prepared(tmp_path, TEXT * 10)
    code = (
        "import sys; from gptmill.data.facts import read_facts; read_facts(sys.argv[1], 'toy');"
        "sys.exit(bool({'numpy', 'torch', 'tokenizers', 'gigatoken'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "data")], check=True)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("openwebtext", "`gptmill prepare --dataset openwebtext`"),
        ("python_stdlib", "`gptmill prepare --dataset python_stdlib`"),
        ("mine", "`gptmill prepare --input FILE_OR_DIR --name mine`"),
    ],
)
def test_a_missing_dataset_says_in_one_line_how_to_get_one(tmp_path, name, command):
    with pytest.raises(DataError) as caught:
        read_facts(str(tmp_path), name)
    assert command in str(caught.value) and "`gptmill train quick`" in str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["../etc", "/etc", "a/../../b", "", "a\0b"])
def test_a_dataset_name_cannot_leave_data_dir(tmp_path, name):
    with pytest.raises(UserError, match="data_dir"):
        read_facts(str(tmp_path), name)


def test_nanogpts_character_vocabulary_is_rebuilt_from_the_text_beside_it(tmp_path):
    nanogpt_char(tmp_path / "shakespeare_char")
    facts = read_facts(str(tmp_path), "shakespeare_char")
    assert (facts.vocab_size, facts.tokenizer, facts.sha256) == (len(set(TEXT)), "char", None)
    assert "input.txt (meta.pkl is never opened)" in facts_notice(facts)
    ids = open_tokens(tmp_path / "shakespeare_char/train.bin").ids
    assert dataset_tokenizer(facts).decode(ids) == TEXT[: len(ids)]


def test_a_text_of_another_length_is_not_taken_for_the_source(tmp_path):
    folder = nanogpt_char(tmp_path / "d")
    (folder / "input.txt").write_text(TEXT + "!")
    facts = read_facts(str(tmp_path), "d")
    assert facts.vocab_size is None and dataset_tokenizer(facts) is None
    assert "--vocab_size" in facts_notice(facts)


class Bomb:
    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def test_a_hostile_meta_pkl_is_never_executed(tmp_path):
    folder, canary = nanogpt_char(tmp_path / "d"), tmp_path / "canary"
    (folder / "meta.pkl").write_bytes(pickle.dumps(Bomb(str(canary))))
    facts = read_facts(str(tmp_path), "d")
    dataset_tokenizer(facts)
    open_tokens(folder / "train.bin")
    assert not canary.exists()
    pickle.loads((folder / "meta.pkl").read_bytes())  # noqa: S301  the bomb is a real one, and ours
    assert canary.exists()


def test_a_missing_split_and_a_folder_in_its_place_are_data_errors(tmp_path):
    blocks(tmp_path / "d", [1, 2, 3], [1, 2], 257, 64, "uint16")
    (tmp_path / "d/val.bin").unlink()
    with pytest.raises(DataError, match=r"val\.bin: missing"):
        read_facts(str(tmp_path), "d")
    (tmp_path / "d/val.bin").mkdir()
    with pytest.raises(DataError, match=r"val\.bin: is not a regular file"):
        read_facts(str(tmp_path), "d")
    (tmp_path / "d/val.bin").rmdir()
    os.mkfifo(tmp_path / "d/val.bin")  # opening it would wait for ever
    with pytest.raises(DataError, match=r"val\.bin: is not a regular file"):
        read_facts(str(tmp_path), "d")


@pytest.mark.parametrize("garbled", [b"", b'{"format": "gptmill-tok', b"\xff\xfe{}", b"[1, 2"])
def test_a_garbled_header_is_named_with_a_way_out(tmp_path, garbled):
    blocks(tmp_path / "d", [1, 2, 3], [1, 2], 257, 64, "uint16")
    (tmp_path / "d/meta.json").write_bytes(garbled)
    with pytest.raises(DataError, match=r"meta\.json: .*damaged or cut off.*--overwrite"):
        read_facts(str(tmp_path), "d")


def test_a_damaged_tokenizer_folder_is_a_data_error_naming_the_file(tmp_path):
    prepared(tmp_path, TEXT * 10)
    facts = read_facts(str(tmp_path / "data"), "toy")
    (tmp_path / "data/toy/tokenizer/tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"tokenizer\.json: missing"):
        dataset_tokenizer(facts)
