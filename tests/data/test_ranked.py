"""Ids, ids' number and published files against tiktoken: the tables are learned here, all else is its own definitions."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
import tiktoken
import tiktoken_ext.openai_public as openai
from hypothesis import given, settings

from gptmill.data.tokenizers import make_tokenizer
from gptmill.data.tokenizers.ranked import RankedTokenizer
from gptmill.data.tokenizers.ranks import PUBLISHED
from tests.data.test_tokenizers import TEXT, tricky

DEFINITIONS = {"gpt2": openai.gpt2, "cl100k": openai.cl100k_base, "o200k": openai.o200k_base}


@cache
def ranks() -> dict[bytes, int]:
    learned = make_tokenizer("bpe-1500", [TEXT, Path(__file__).read_text()])
    return {learned.piece(rank): rank for rank in range(learned.vocab_size - 1)}


@cache
def pair(split: str) -> tuple[RankedTokenizer, tiktoken.Encoding]:
    """Ours, and tiktoken's own definition with the published table replaced by the one learned here."""
    with pytest.MonkeyPatch.context() as patch:
        for loader in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
            patch.setattr(openai, loader, lambda *address, **expected: ranks())
        pattern = DEFINITIONS[split]()["pat_str"]
    theirs = tiktoken.Encoding(split, pat_str=pattern, mergeable_ranks=ranks(), special_tokens={})
    return RankedTokenizer(split, list(ranks()), split, len(ranks()), len(ranks()) + 1), theirs


@pytest.mark.parametrize("split", DEFINITIONS)
@settings(max_examples=300)
@given(text=tricky)
def test_ids_equal_tiktokens(split, text):
    ours, theirs = pair(split)
    assert ours.encode(text) == theirs.encode_ordinary(text)


@pytest.mark.parametrize("split", DEFINITIONS)
def test_ids_equal_tiktokens_around_what_the_patterns_tell_apart(split):
    ours, theirs = pair(split)
    choose = random.Random(0)
    parts = [*"aZéÉ中٣19_!/'ſǅʰ\u0301\u200b\ufeff\u180e\x1c\0\x85\u00a0\u2003\u3000\U0001f600 \n\r\t", "  ", "\r\n", "'s", "'LL", "'re", "!/\n", "<|endoftext|>"]  # fmt: skip
    for _ in range(5000):
        text = "".join(choose.choices(parts, k=choose.randrange(1, 40)))
        assert ours.encode(text) == theirs.encode_ordinary(text), ascii(text)


@pytest.mark.parametrize("split", ["cl100k", "o200k"])
def test_files_and_special_ids_are_those_of_tiktokens_definitions(split, monkeypatch):
    asked = []
    monkeypatch.setattr(openai, "load_tiktoken_bpe", lambda url, expected_hash: asked.append((url, expected_hash)))
    special = DEFINITIONS[split]()["special_tokens"]
    published = PUBLISHED[split]
    assert asked == [(published.file.url, published.file.sha256)]
    assert special["<|endoftext|>"] == published.end_of_text
    assert max(special.values()) + 1 == published.vocab_size
