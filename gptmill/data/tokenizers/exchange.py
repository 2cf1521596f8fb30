"""Tokenizers in the form that Hugging Face's ``tokenizers`` reads, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gptmill.data.tokenizers.base import END_OF_TEXT, Tokenizer
from gptmill.data.tokenizers.bpe import BpeTokenizer, printable_bytes
from gptmill.data.tokenizers.byte import ByteTokenizer
from gptmill.data.tokenizers.byte_level import ByteLevelTokenizer
from gptmill.data.tokenizers.char import CharTokenizer
from gptmill.data.tokenizers.gpt2 import Gpt2ByName
from gptmill.errors import DataError
from gptmill.plain import read_plain

FILE, SETTINGS, VOCABULARY, MERGES = "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"
SPECIAL = "special_tokens_map.json"


def as_files(tokenizer: Tokenizer, block_size: int) -> dict[str, str] | None:
    """File name -> text, as AutoTokenizer reads them; None for a kind that has no such form.

    Raises:
        DataError: GPT-2's own files are not on this machine and cannot be had.
    """
    if isinstance(tokenizer, Gpt2ByName):
        tokenizer = tokenizer.files
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": block_size,
        "clean_up_tokenization_spaces": False,
    }
    if isinstance(tokenizer, ByteLevelTokenizer):
        raw, end = tokenizer.theirs()
        return {FILE: raw, SETTINGS: json.dumps(settings | ({"eos_token": end} if end else {}), indent=1) + "\n"}
    files: dict[str, str] = {}
    if isinstance(tokenizer, BpeTokenizer):
        vocabulary, merges = tokenizer.files()
        files = {VOCABULARY: vocabulary.decode(), MERGES: merges.decode()}
        made = _byte_level(json.loads(vocabulary), tokenizer.merges, use_regex=True)
    elif isinstance(tokenizer, ByteTokenizer):
        made = _byte_level({char: byte for byte, char in printable_bytes().items()}, [], use_regex=False)
    elif isinstance(tokenizer, CharTokenizer):
        made = _characters(tokenizer.characters)
    else:
        return None
    if tokenizer.end_of_text is not None:
        made.add_special_tokens([END_OF_TEXT])
        settings |= {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT}
    return files | {FILE: made.to_str(pretty=True), SETTINGS: json.dumps(settings, indent=1) + "\n"}


def _byte_level(vocabulary: dict[str, int], merges: list[tuple[str, str]], *, use_regex: bool) -> Any:
    from tokenizers import Tokenizer as Made
    from tokenizers import decoders, models, pre_tokenizers

    vocabulary.pop(END_OF_TEXT, None)  # added again as a special token, with the id that follows
    made = Made(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    made.decoder = decoders.ByteLevel()
    return made


def _characters(characters: str) -> Any:
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Made

    made = Made(models.WordLevel({char: n for n, char in enumerate(characters)}, unk_token=characters[0]))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    made.decoder = decoders.Fuse()
    return made


def from_folder(folder: Path) -> Tokenizer | None:
    """The tokenizer beside a Hugging Face model, as the kind that it is here; None where there is none, or of another kind.

    Raises:
        DataError: its files cannot be read.
    """
    body, settings = _json(folder / FILE), _json(folder / SETTINGS)
    end = _content(settings.get("eos_token")) or _content(_json(folder / SPECIAL).get("eos_token"))
    if settings.get("add_prefix_space"):
        return None  # transformers puts a space before a text then, whatever tokenizer.json says
    if body and (end not in (None, END_OF_TEXT) or not _is_plain(body)):
        return _byte_level_kind(body, end)
    named = str(settings.get("tokenizer_class") or "GPT2").startswith(("GPT2", "PreTrained"))
    if not (body or named):
        return None  # without its tokenizer.json nothing says how it cuts a text
    model = body.get("model", {}) if body else {"vocab": _json(folder / VOCABULARY), "merges": _merges(folder)}
    vocabulary, merges = model.get("vocab"), model.get("merges") or []
    if not isinstance(vocabulary, dict) or not all(type(token) is int for token in vocabulary.values()):
        return None
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    if [vocabulary[piece] for piece in pieces] != list(range(len(pieces))):
        return None
    if model.get("type") == "WordLevel" and all(len(piece) == 1 for piece in pieces):
        return CharTokenizer("".join(pieces))
    pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in merges]
    ends = not body or end or END_OF_TEXT in vocabulary or body.get("added_tokens")
    if pairs and not ends:
        return _byte_level_kind(body, None)  # BpeTokenizer has an id for it, which the model may not have
    if pieces[:256] == list(printable_bytes().values()) and all(len(pair) == 2 for pair in pairs):
        found = _bpe([(left, right) for left, right in pairs], pieces)
        if found is not None:
            return found
    elif sorted(pieces[:256]) == sorted(printable_bytes().values()) and not pairs:
        bytes_in_order = pieces[:256] == [printable_bytes()[byte] for byte in range(256)]
        if bytes_in_order and len(pieces) <= ByteTokenizer.vocab_size:
            return ByteTokenizer()
    return _byte_level_kind(body, end) if body else None


def _is_plain(body: dict[str, Any]) -> bool:
    """Whether a text is cut as GPT-2 cuts it, or into characters, and there is no token but the vocabulary's and an end of text."""
    cut = body.get("pre_tokenizer")
    cut = cut if isinstance(cut, dict) else {}
    model = body.get("model")
    merges = model.get("merges") if isinstance(model, dict) else None
    if cut.get("type") == "ByteLevel":
        as_gpt2 = not cut.get("add_prefix_space") and cut.get("use_regex", True) is bool(merges)
    else:
        as_gpt2 = cut.get("type") == "Split" and not merges
    added = body.get("added_tokens") or []
    known = isinstance(added, list) and all(
        isinstance(one, dict) and one.get("content") == END_OF_TEXT for one in added
    )
    return as_gpt2 and known and body.get("normalizer") is None


def _byte_level_kind(body: dict[str, Any], end: str | None) -> Tokenizer | None:
    try:
        return ByteLevelTokenizer(json.dumps(body, ensure_ascii=False, sort_keys=True), end)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _content(token: object) -> str | None:
    """A token as tokenizer_config.json writes it: its text, or an object around that."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _bpe(merges: list[tuple[str, str]], pieces: list[str]) -> Tokenizer | None:
    """GPT-2's form: bytes, merges in order, end-of-text last."""
    from gptmill.data.tokenizers.gpt2 import is_gpt2

    learned = ["".join(pair) for pair in merges]
    if pieces[256 : 256 + len(learned)] != learned or pieces[256 + len(learned) :] not in ([], [END_OF_TEXT]):
        return None
    try:
        tokenizer = BpeTokenizer(f"bpe-{257 + len(merges)}", merges)
    except (ValueError, KeyError):
        return None
    return BpeTokenizer("gpt2", merges) if is_gpt2(tokenizer) else tokenizer


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_plain(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        raise DataError(f"{path}: cannot be read as JSON; copy or download it again") from None
    return found if isinstance(found, dict) else {}


def _merges(folder: Path) -> list[str]:
    try:
        lines = read_plain(folder / MERGES).decode().split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{folder / MERGES}: cannot be read as text; copy or download it again") from None
    return [line for line in lines if line and not line.startswith("#version")]
