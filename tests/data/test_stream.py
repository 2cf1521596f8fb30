"""Text that is shown while it is made is the text that is made."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.decoders import ByteLevel

from gptmill.data.tokenizers import TOKENIZERS, Tokenizer, make_tokenizer
from gptmill.data.tokenizers import gpt2 as gpt2_file
from gptmill.data.tokenizers.byte_level import ByteLevelTokenizer
from gptmill.data.tokenizers.exchange import as_files
from gptmill.data.tokenizers.ranks import RanksTokenizer
from gptmill.data.tokenizers.stream import StreamDecoder

TEXT = "naïve café, 東京 \U0001f600\U0001f600 they'll\r\n\t" * 20
KINDS = ["char", "byte", "bpe-257", "bpe-400", "gpt2", "cl100k", "o200k", "byte_level"]
# strewn with what UTF-8 decoders trip over: overlong forms, surrogates, lone and missing continuations, beyond U+10FFFF
HARD = [0xC0, 0xC1, 0xE0, 0xED, 0xF0, 0xF4, 0xF5, 0xFF, 0x80, 0x9F, 0xA0, 0xBF, 0x41, 0xE2, 0x82, 0xAC]


@cache
def tokenizer(kind: str) -> Tokenizer:
    if kind in ("cl100k", "o200k"):  # every byte a token: their real tables have 2 and 4 MB
        return RanksTokenizer(kind, b"\n".join(b64encode(bytes([n])) + b" %d" % n for n in range(256)))
    if kind == "byte_level":
        files = as_files(make_tokenizer("bpe-400", [TEXT]), 8)
        assert files is not None
        return ByteLevelTokenizer(files["tokenizer.json"], "<|endoftext|>")
    if kind != "gpt2":
        return make_tokenizer(kind, [TEXT])
    by_name = gpt2_file.Gpt2ByName()  # its files are not at hand: smaller ones of the same form stand in
    by_name.__dict__["files"] = make_tokenizer("bpe-400", [TEXT])
    return by_name


def test_every_kind_of_tokenizer_is_streamed_here() -> None:
    assert {kind.partition("-")[0] for kind in KINDS} == set(TOKENIZERS)


def streamed(kind: str, ids: list[int]) -> list[str]:
    decoder = StreamDecoder(tokenizer(kind))
    return [*map(decoder.feed, ids), decoder.close()]


@pytest.mark.parametrize("kind", KINDS)
@given(ids=st.lists(st.integers(-3, 500) | st.sampled_from(HARD), max_size=30))
def test_streamed_text_is_the_decoded_text_for_any_ids(kind: str, ids: list[int]) -> None:
    assert "".join(streamed(kind, ids)) == tokenizer(kind).decode(ids)


@pytest.mark.parametrize("kind", ["byte", "bpe-257", "bpe-400", "gpt2", "byte_level"])
@given(text=st.text(st.sampled_from("aé東\U0001f600\n ") | st.characters(codec="utf-8", exclude_characters="\ufffd")))
def test_valid_text_never_shows_half_a_character_and_nothing_waits_longer_than_it_must(kind: str, text: str) -> None:
    ids = tokenizer(kind).encode(text)
    shown = streamed(kind, ids)
    assert "\ufffd" not in "".join(shown) and shown[-1] == ""
    for n in range(len(ids)):
        raw = b"".join(map(tokenizer(kind).piece, ids[: n + 1]))
        whole = raw.decode("utf-8", "ignore")  # drops the unfinished character at the end, the only flaw there can be
        assert "".join(shown[: n + 1]) == whole


def test_a_character_that_never_ends_is_one_replacement_character() -> None:
    assert streamed("byte", list("€".encode())[:2]) == ["", "", "\ufffd"]
    assert streamed("byte", [*"€".encode()[:2], ord("x")]) == ["", "", "\ufffdx", ""]


def test_a_piece_is_the_bytes_of_the_file(tmp_path: Path) -> None:
    """For GPT-2's form: the mapping of encoder.json, read by hand."""
    tokenizer("bpe-400").save(tmp_path)
    names = json.loads((tmp_path / "encoder.json").read_text())
    ascii_only = {name: token for name, token in names.items() if name.isascii() and name.isprintable()}
    assert len(ascii_only) > 95
    for name, token in ascii_only.items():
        assert tokenizer("bpe-400").piece(token).decode() == ByteLevel().decode([name])
