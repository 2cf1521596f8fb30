"""Tokenizers of models that are not in GPT-2's form: the ids are those of the library they come from, or they are refused."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from gptmill.cli.evaluating.texts import of_dataset
from gptmill.data.facts import other_tokenizer, read_facts
from gptmill.data.tokenizers import load_tokenizer, make_tokenizer, same_ids
from gptmill.data.tokenizers.bpe import BpeTokenizer, printable_bytes
from gptmill.data.tokenizers.byte_level import ByteLevelTokenizer
from gptmill.data.tokenizers.exchange import as_files, from_folder
from gptmill.errors import UserError
from tests.cli.run import gptmill
from tests.interop.theirs import saved

TEXT = "Hello  world 12345 67\n\n\n we'RE here<|endoftext|> <|im_end|> x(a)... 日本 naïve\n" * 3
# Qwen's cuts: digits one by one, line breaks with what is before them. Source: tokenizer.json of Qwen/Qwen3-0.6B
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
Level = pre_tokenizers.ByteLevel
PLAIN = Level(add_prefix_space=False)
CUT = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(Regex(QWEN), "isolated"), Level(add_prefix_space=False, use_regex=False)]
)
ENDS = ["<|endoftext|>", "<|im_end|>"]


@cache
def learned() -> BpeTokenizer:
    found = make_tokenizer("bpe-400", [TEXT, "".join(f"{n} green bottles fell.\n\n" for n in range(300))])
    assert isinstance(found, BpeTokenizer)
    return found


def written(folder: Path, pre: Any, specials: list[str], *, first: bool = False, normalizer: Any = None) -> Any:
    """A tokenizer in that library's form, saved as transformers does; returns transformers' own reading of it."""
    pieces = [*printable_bytes().values(), *("".join(pair) for pair in learned().merges)]
    pieces = [*specials, *pieces] if first else pieces
    made = Tokenizer(models.BPE(vocab={piece: n for n, piece in enumerate(pieces)}, merges=learned().merges))
    made.pre_tokenizer, made.decoder = pre, decoders.ByteLevel()
    if normalizer is not None:
        made.normalizer = normalizer
    made.add_special_tokens(specials)
    made.enable_truncation(5)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=specials[-1]).save_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


FORMS = {"qwen": (CUT, ENDS, False), "end first": (PLAIN, ENDS[:1], True), "other end": (PLAIN, ENDS, False)}


@pytest.mark.parametrize("form", FORMS)
def test_ids_are_those_of_the_model_and_outlive_a_run_folder_and_an_export(form: str, tmp_path: Path) -> None:
    pre, specials, first = FORMS[form]
    theirs = written(tmp_path, pre, specials, first=first)
    ours = from_folder(tmp_path)
    assert isinstance(ours, ByteLevelTokenizer)
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    back = load_tokenizer(tmp_path / "saved")
    expected = theirs.encode(TEXT, add_special_tokens=False, split_special_tokens=True, truncation=False)
    assert ours.encode(TEXT) == back.encode(TEXT) == ours.encode_batch([TEXT])[0].tolist() == expected
    assert ours.decode(expected) == TEXT == b"".join(map(ours.piece, expected)).decode()
    assert (back.name, back.end_of_text, back.vocab_size) == (ours.name, theirs.eos_token_id, len(theirs))

    files = as_files(back, 48)
    assert files is not None
    (tmp_path / "out").mkdir()
    for name, text in files.items():
        (tmp_path / "out" / name).write_text(text, encoding="utf-8")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert again.encode(TEXT) == theirs.encode(TEXT) and again.eos_token_id == theirs.eos_token_id


@pytest.mark.parametrize(
    "other", [{"pre": Level(add_prefix_space=True)}, {"normalizer": normalizers.Lowercase()}], ids=["prefix", "lower"]
)
def test_one_that_adds_to_a_text_or_changes_it_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    written(tmp_path, other.get("pre", PLAIN), ENDS[:1], normalizer=other.get("normalizer"))
    assert from_folder(tmp_path) is None
    with pytest.raises(UserError, match="prepare the text with another"):
        make_tokenizer(str(tmp_path))


def test_one_that_transformers_puts_a_space_before_by_its_settings_is_refused(tmp_path: Path) -> None:
    written(tmp_path, CUT, ENDS)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"add_prefix_space": True}))
    assert from_folder(tmp_path) is None


def test_a_token_that_was_added_leaves_the_ids_of_a_text_what_they_were(tmp_path: Path) -> None:
    theirs = written(tmp_path, PLAIN, ["<|endoftext|>", "[PAD]"])
    theirs.add_special_tokens({"pad_token": "[PAD]", "eos_token": "<|endoftext|>"})
    theirs.save_pretrained(tmp_path)
    padded = from_folder(tmp_path)
    assert padded is not None and padded.vocab_size == len(theirs) == learned().vocab_size + 1
    assert padded.end_of_text == learned().end_of_text
    assert same_ids(learned(), padded) and not same_ids(padded, learned())
    written(tmp_path / "first", PLAIN, ENDS[:1], first=True)  # as many ids, and all of them others
    shifted = from_folder(tmp_path / "first")
    assert shifted is not None and not same_ids(learned(), shifted)


def test_without_an_end_of_text_there_is_no_id_for_it(tmp_path: Path) -> None:
    pieces = [*printable_bytes().values(), *("".join(pair) for pair in learned().merges)]
    made = Tokenizer(models.BPE(vocab={piece: n for n, piece in enumerate(pieces)}, merges=learned().merges))
    made.pre_tokenizer, made.decoder = PLAIN, decoders.ByteLevel()
    made.save(str(tmp_path / "tokenizer.json"))
    found = from_folder(tmp_path)
    assert found is not None and (found.vocab_size, found.end_of_text) == (made.get_vocab_size(), None)
    assert found.encode(TEXT) == made.encode(TEXT).ids == learned().encode(TEXT)


def test_a_folder_may_be_named_like_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "gpt2-medium", CUT, ENDS)
    monkeypatch.chdir(tmp_path)
    assert make_tokenizer("gpt2-medium").name.startswith("byte_level-")


def test_text_of_the_same_name_and_other_tokens_is_refused_by_eval_and_warned_of_in_training(tmp_path: Path) -> None:
    for name, text in (("one", "green bottles on the wall\n" * 90), ("two", "seven magpies in a tree!\n" * 90)):
        (tmp_path / f"{name}.txt").write_text(text)
        assert gptmill(tmp_path, "prepare", "--input", f"{name}.txt", "--tokenizer=bpe-300").code == 0
    one, two = (load_tokenizer(tmp_path / "data" / name / "tokenizer") for name in ("one", "two"))
    assert one.name == two.name and same_ids(one, one) and not same_ids(one, two)
    saved("gpt2", tmp_path / "hf", vocab_size=one.vocab_size)
    assert gptmill(tmp_path, "import", "hf", "--out", "run", "--tokenizer", "data/one").code == 0
    facts = read_facts(str(tmp_path / "data"), "one")
    assert other_tokenizer(facts, load_tokenizer(tmp_path / "run/tokenizer")) is None
    assert other_tokenizer(facts, two) == "another bpe-300"
    other = gptmill(tmp_path, "eval", "--run", "run", "--dataset", "two")
    assert other.code == 2 and "data/two: was prepared with another bpe-300" in other.err
    short = ("--max_iters=1", "--eval_iters=1", "--batch_size=2", "--warmup_iters=0", "--device=cpu")
    small = (*short, "--gradient_accumulation_steps=1", "--out_dir=out")
    done = gptmill(tmp_path, "train", "--init_from=run", "--dataset=two", *small)
    assert done.code == 0 and "The same ids mean other words to it" in done.err, done.err


def test_a_split_is_measured_though_the_other_or_the_tokenizer_is_missing(tmp_path: Path) -> None:
    for name in ("bare", "ours"):
        (tmp_path / name).mkdir()
    (tmp_path / "bare/train.bin").write_bytes(b"\1\0\2\0" * 40)  # nanoGPT's
    assert of_dataset(tmp_path / "bare", "train", learned(), False).n_tokens == 80
    (tmp_path / "t.txt").write_text("green bottles on the wall\n" * 90)
    assert gptmill(tmp_path, "prepare", "--input", "t.txt", "--tokenizer=bpe-300").code == 0
    mine = load_tokenizer(tmp_path / "data/t/tokenizer")
    (tmp_path / "data/t/tokenizer/tokenizer.json").unlink()
    assert of_dataset(tmp_path / "data/t", "train", mine, False).n_tokens
    with pytest.raises(UserError, match="was prepared with bpe-300, the run knows bpe-400"):
        of_dataset(tmp_path / "data/t", "train", learned(), False)
