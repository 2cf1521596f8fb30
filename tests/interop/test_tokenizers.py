"""An exported tokenizer, read by transformers, makes the same ids and the same text; and it comes back as what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from gptmill.data.tokenizers import Tokenizer, make_tokenizer
from gptmill.data.tokenizers.exchange import as_files, from_folder
from tests.interop.theirs import model

TEXT = "Two roads diverged, and I'm sorry:\n\tnaïve café, 12 345  words... <|endoftext|> don't — 日本語 🙂\r\n  end "
KINDS = ("bpe-300", "byte", "char")


def made(kind: str) -> Tokenizer:
    return make_tokenizer(kind, [TEXT, "".join(f"{n} green bottles fell. " for n in range(300))])


def written(tokenizer: Tokenizer, folder: Path) -> None:
    files = as_files(tokenizer, 48)
    assert files is not None
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_makes_the_same_ids_and_the_same_text(kind: str, tmp_path: Path) -> None:
    ours = made(kind)
    written(ours, tmp_path)
    (tmp_path / "config.json").write_text(model("gpt2").config.to_json_string())
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXT.split("<|endoftext|>"):
        assert theirs.encode(text, add_special_tokens=False) == ours.encode(text)
        assert theirs.decode(ours.encode(text), clean_up_tokenization_spaces=False) == text
    assert theirs.eos_token_id == ours.end_of_text
    assert len(theirs) == ours.vocab_size


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_as_the_same_tokenizer(kind: str, tmp_path: Path) -> None:
    ours = made(kind)
    written(ours, tmp_path)
    back = from_folder(tmp_path)
    assert back is not None and type(back) is type(ours)
    assert (back.encode(TEXT), back.vocab_size, back.end_of_text) == (
        ours.encode(TEXT),
        ours.vocab_size,
        ours.end_of_text,
    )


def test_gpt2s_older_two_files_are_enough(tmp_path: Path) -> None:
    ours = made("bpe-300")
    written(ours, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    back = from_folder(tmp_path)
    assert back is not None and back.encode(TEXT) == ours.encode(TEXT)


def test_a_tokenizer_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    assert from_folder(tmp_path) is None
    ours = made("bpe-300")
    written(ours, tmp_path)
    body = json.loads((tmp_path / "tokenizer.json").read_text())
    body["model"]["vocab"] = {f"▁{piece}": number for piece, number in body["model"]["vocab"].items()}
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    assert from_folder(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model": {"vocab": {"a": "b"}}}', '{"model": {"vocab": {"a": 7}}}'])
def test_a_damaged_file_is_a_line_or_no_tokenizer(text: str, tmp_path: Path) -> None:
    from gptmill.errors import DataError

    (tmp_path / "tokenizer.json").write_text(text)
    try:
        assert from_folder(tmp_path) is None
    except DataError as error:
        assert "tokenizer.json" in str(error) and len(error.problems) == 1
