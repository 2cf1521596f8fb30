from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from gptmill.data import pieces
from gptmill.data.pieces import cut, pieces_of
from gptmill.data.tokenizers import TOKENIZERS, load_tokenizer, make_tokenizer, what_it_reads
from gptmill.data.tokenizers import gpt2 as gpt2_file
from gptmill.data.tokenizers.bpe import read_files
from gptmill.errors import DataError, UserError

TEXT = Path(__file__).read_text() + "naïve café, 東京 \U0001f600\U0001f600   \n\n\n\t\t it's they'll  \r\n" * 3
# mixes what pre-tokenizers trip over: runs of spaces, contractions, digits, line ends, astral characters
tricky = st.text(
    st.sampled_from(" \n\t\r'stlmdrvea1é東\U0001f600_\u3000\u00a0<|endoftext|>.")
    # libraries know Unicode in different versions, so no character that Python's does not have
    | st.characters(codec="utf-8", exclude_categories=["Cn"])
)


@cache
def tokenizer(name: str):
    return make_tokenizer(name, [TEXT])


@cache
def reference(name: str) -> tokenizers.Tokenizer:
    """The same merges run by Hugging Face's implementation with its own copy of GPT-2's pattern."""
    files = [json.loads(raw) if i == 0 else raw.decode() for i, raw in enumerate(tokenizer(name).files())]
    merges = [tuple(line.split(" ")) for line in files[1].splitlines()[1:]]
    ours = tokenizers.Tokenizer(models.BPE(vocab=files[0], merges=merges))
    ours.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    ours.decoder = decoders.ByteLevel()
    return ours


@pytest.mark.parametrize("name", ["byte", "bpe-257", "bpe-300", "bpe-1500"])
@given(text=tricky)
def test_any_unicode_text_round_trips(name, text):
    ids = tokenizer(name).encode(text)
    assert tokenizer(name).decode(ids) == text
    assert all(0 <= i < tokenizer(name).vocab_size for i in ids)
    assert tokenizer(name).end_of_text not in ids  # not even when the text spells it
    assert tokenizer(name).encode_batch([text, text])[1].tolist() == ids


@given(text=st.text(st.characters(codec="utf-8"), min_size=1))
def test_char_round_trips_and_has_the_sorted_set_of_characters(text):
    char = make_tokenizer("char", [text])
    assert char.decode(char.encode(text)) == text
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}  # nanoGPT's data/shakespeare_char/prepare.py
    assert char.encode(text) == [stoi[c] for c in text]


@pytest.mark.parametrize("name", ["bpe-300", "bpe-1500"])
@given(text=tricky)
def test_bpe_ids_equal_hugging_faces(name, text):
    assert tokenizer(name).encode(text) == reference(name).encode(text).ids


def test_bpe_ids_equal_hugging_faces_on_runs_of_one_character():
    for n in range(1, 70):
        for character in " \na=":
            assert (
                tokenizer("bpe-1500").encode(character * n + "x")
                == reference("bpe-1500").encode(character * n + "x").ids
            )


def test_gpt2s_files_give_the_ids_of_transformers_gpt2_tokenizer(tmp_path):
    import transformers

    tokenizer("bpe-1500").save(tmp_path)
    vocab = json.loads((tmp_path / "encoder.json").read_text())
    merges = [tuple(line.split()) for line in (tmp_path / "vocab.bpe").read_text().splitlines()[1:]]
    theirs = transformers.GPT2Tokenizer(vocab=vocab, merges=merges)
    ours = read_files("gpt2", tmp_path)
    text = TEXT.replace("<|endoftext|>", "")  # which transformers takes for the special token
    assert ours.encode(text) == theirs.encode(text)
    assert ours.end_of_text == theirs.eos_token_id == vocab["<|endoftext|>"]
    assert theirs.decode(ours.encode(text)) == text


@pytest.mark.parametrize("name", ["char", "byte", "bpe-300"])
@given(ids=st.lists(st.integers(-5, 70_000), max_size=20))
def test_decoding_is_safe_for_any_ids(name, ids):
    text = tokenizer(name).decode(np.array(ids, dtype=np.int64))
    assert isinstance(text, str) and text == tokenizer(name).decode(ids)
    text.encode()  # printable: no lone surrogates
    assert text.count("\ufffd") >= sum(not 0 <= i < tokenizer(name).vocab_size for i in ids)


@pytest.mark.parametrize("name", ["byte", "bpe-300"])
def test_lone_surrogates_from_argv_or_json_become_replacement_characters(name):
    assert tokenizer(name).decode(tokenizer(name).encode("a\ud800b")) == "a\ufffdb"


@pytest.mark.parametrize("name", ["char", "byte", "bpe-300"])
def test_a_saved_tokenizer_is_the_same_one_and_needs_nothing_else(name, tmp_path):
    tokenizer(name).save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode(TEXT) == tokenizer(name).encode(TEXT)
    assert (loaded.name, loaded.vocab_size, loaded.end_of_text) == (
        tokenizer(name).name,
        tokenizer(name).vocab_size,
        tokenizer(name).end_of_text,
    )
    assert make_tokenizer(str(tmp_path)).encode(TEXT) == loaded.encode(TEXT)


@pytest.mark.parametrize("name", ["char", "byte", "bpe-300"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(data=st.data())
def test_damage_to_a_saved_tokenizer_is_a_data_error_or_harmless(name, tmp_path, data):
    tokenizer(name).save(tmp_path)
    path = data.draw(st.sampled_from(sorted(tmp_path.iterdir())))
    clean = path.read_bytes()
    start = data.draw(st.integers(0, len(clean)))
    path.write_bytes(clean[:start] + data.draw(st.binary(max_size=6)) + clean[start + data.draw(st.integers(0, 40)) :])
    try:
        load_tokenizer(tmp_path).decode([1, 2, 3])
    except DataError as error:
        assert "\n" not in str(error)
    finally:
        path.write_bytes(clean)


@pytest.mark.parametrize(
    "body", ["[]", "null", '{"kind": ["char"]}', '{"kind": "os.system"}', '{"kind": "bpe", "sha256": {}}']
)
def test_a_tokenizer_json_cannot_ask_for_anything_but_a_known_kind(tmp_path, body):
    (tmp_path / "tokenizer.json").write_text(body)
    with pytest.raises(DataError, match=r"(tokenizer|encoder)\.json: "):
        load_tokenizer(tmp_path)


def test_a_character_outside_the_vocabulary_is_named():
    with pytest.raises(UserError, match=r"U\+20AC.*3 characters.*byte"):
        make_tokenizer("char", ["abc"]).encode("ab€")


@pytest.mark.parametrize(
    "name", ["bpe", "bpe-", "bpe-0", "bpe-256", "bpe-99999999", "bpe-1e3", "bpe-²", "char-5", "gpt2-9", "gtp2"]
)
def test_a_wrong_name_is_one_sentence_before_any_text_is_read(name):
    with pytest.raises(UserError, match=r"^tokenizer=") as caught:
        what_it_reads(name)
    assert "\n" not in str(caught.value)


def test_a_short_text_gives_a_smaller_bpe_vocabulary():
    assert make_tokenizer("bpe-5000", ["abcabcabc"]).vocab_size < 270
    assert make_tokenizer("bpe-257", ["abc"]).encode("abc") == [i - 33 for i in b"abc"]  # GPT-2 counts bytes from '!'


def test_every_kind_says_what_it_reads():
    assert {kind: TOKENIZERS[kind].reads for kind in TOKENIZERS} == {
        "char": "all",
        "byte": "nothing",
        "byte_level": "nothing",
        "bpe": "sample",
        "gpt2": "nothing",
        "cl100k": "nothing",
        "o200k": "nothing",
    }


@given(text=tricky, limit=st.integers(4, 40))
def test_a_text_cut_at_a_seam_has_the_tokens_of_the_whole(text, limit):
    assert "".join(pieces_of(text, limit)) == text
    if len(text) > limit + 1 and (end := cut(text[: limit + 1], limit)) != limit:
        assert tokenizer("bpe-1500").encode(text[:end]) + tokenizer("bpe-1500").encode(text[end:]) == tokenizer(
            "bpe-1500"
        ).encode(text)


def test_long_text_is_encoded_as_if_in_one_piece(monkeypatch):
    whole = reference("bpe-300").encode(TEXT * 50).ids
    monkeypatch.setattr(pieces, "PIECE_CHARS", 1000)
    assert len(pieces_of(TEXT * 50, 1000)) > 10
    assert [i for piece in pieces_of(TEXT * 50, 1000) for i in tokenizer("bpe-300").encode(piece)] == whole


def test_a_million_equal_characters_are_encoded():
    for text in ("a" * 10**6, " " * 10**6 + "x", "\n" * 10**6 + "x"):
        assert tokenizer("bpe-300").decode(tokenizer("bpe-300").encode(text)) == text


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path / ".cache/gptmill/gpt2"


def test_gpt2_without_a_network_says_which_files_to_put_where(home, monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(DataError) as caught:
        make_tokenizer("gpt2")
    says = str(caught.value)
    assert "encoder.json and vocab.bpe" in says and str(home) in says and "--tokenizer" in says and "\n" not in says


def test_a_download_that_is_not_gpt2s_file_is_refused_and_not_kept(home, monkeypatch):
    class Answer:
        url = gpt2_file.ADDRESS

        def __enter__(self):
            return self

        def __exit__(self, *failure):
            pass

        def read(self, limit):
            return b"{}"

    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: Answer())
    with pytest.raises(DataError, match="SHA-256"):
        make_tokenizer("gpt2")
    assert list(home.iterdir()) == []


def test_local_files_that_are_not_gpt2s_are_refused(tmp_path):
    tokenizer("bpe-300").save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"encoder\.json: is not GPT-2's"):
        make_tokenizer(str(tmp_path))


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    tokenizer("bpe-300").save(tmp_path)
    lines = (tmp_path / "vocab.bpe").read_text().splitlines(keepends=True)
    (tmp_path / "vocab.bpe").write_text("".join([lines[0], *reversed(lines[1:])]))
    with pytest.raises(ValueError):
        read_files("gpt2", tmp_path)
