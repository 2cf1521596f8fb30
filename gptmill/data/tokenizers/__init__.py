"""Tokenizers by name: ``make_tokenizer("bpe-2048", texts)``; from a folder: ``load_tokenizer("data/quick/tokenizer")``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from gptmill.data.tokenizers import bpe, byte, byte_level, char, gpt2, ranks  # noqa: F401  each joins TOKENIZERS
from gptmill.data.tokenizers.base import TOKENIZERS, Tokenizer
from gptmill.errors import DataError, UserError
from gptmill.plain import read_plain

__all__ = ["TOKENIZERS", "Tokenizer", "canonical", "load_tokenizer", "make_tokenizer", "same_ids", "what_it_reads"]

ALIASES = {"gpt4": "cl100k", "cl100k_base": "cl100k", "gpt4o": "o200k", "o200k_base": "o200k"}
LARGEST_JSON = 64 * 2**20  # [bytes]


def canonical(name: str) -> str:
    """The name meta.json records: 'gpt4' is 'cl100k'."""
    return ALIASES.get(name, name)


def what_it_reads(name: str) -> str:
    """Which texts make_tokenizer wants for this name: 'all', a 'sample' or 'nothing'.

    Raises:
        UserError: there is no such tokenizer. Checked here so that nobody waits for a scan first.
    """
    if _is_folder(name):
        return "nothing"
    kind, _, argument = canonical(name).partition("-")
    TOKENIZERS[kind].check(argument)
    return TOKENIZERS[kind].reads


def make_tokenizer(name: str, texts: Iterable[str] = ()) -> Tokenizer:
    """A tokenizer for preparing data.

    Args:
        name: 'char', 'byte', 'bpe-N' (learned from texts), 'gpt2', 'cl100k', 'o200k', or a folder: one saved before, a run's, that of a
            Hugging Face model, or GPT-2's two files.
    """
    if _is_folder(name):
        return _of_folder(Path(os.path.expanduser(name)))
    kind, _, argument = canonical(name).partition("-")
    TOKENIZERS[kind].check(argument)
    return TOKENIZERS[kind].trained(argument, texts)


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """Read what ``save`` wrote. Only plain values are read; nothing in the folder can name code.

    Raises:
        DataError: the folder has no tokenizer, or a damaged one.
    """
    folder = Path(folder)
    path = folder / "tokenizer.json"
    try:
        body = json.loads(read_plain(path, LARGEST_JSON))
        if not isinstance(body, dict) or body.get("kind") not in TOKENIZERS:
            raise ValueError(f"kind must be one of {', '.join(TOKENIZERS)}")
        return TOKENIZERS[body["kind"]].loaded(folder, body)
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename}: missing; prepare the dataset again, or copy its tokenizer folder here"
        ) from None
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        says = f"{error} is missing" if isinstance(error, KeyError) else str(error).split("\n")[0]
        raise DataError(f"{path}: not a usable tokenizer ({says:.200}); prepare the dataset again") from None


def _is_folder(name: str) -> bool:
    kind, _, argument = canonical(name).partition("-")
    meant = kind in TOKENIZERS and (not argument or argument.isdigit())  # a folder may well be named gpt2-medium
    return not meant and os.path.isdir(os.path.expanduser(name))


def _of_folder(folder: Path) -> Tokenizer:
    """One that was saved, a run's, that of a model in Hugging Face's layout, or GPT-2's two files."""
    from gptmill.data.tokenizers import exchange

    if not (folder / "tokenizer.json").exists() and (folder / "tokenizer").is_dir():
        return load_tokenizer(folder / "tokenizer")
    try:
        saved = "kind" in json.loads(read_plain(folder / "tokenizer.json", LARGEST_JSON))
    except FileNotFoundError:
        saved = False
    except (OSError, ValueError, TypeError, RecursionError):
        saved = True  # which says what is wrong with it
    if saved:
        return load_tokenizer(folder)
    if (folder / gpt2.ENCODER).exists():
        return gpt2.from_folder(folder)
    found = exchange.from_folder(folder)
    if found is None and any(
        (folder / name).exists() for name in (exchange.FILE, exchange.VOCABULARY, exchange.SETTINGS)
    ):
        raise UserError(
            f"tokenizer={folder}: not byte-level byte-pair encoding, characters or bytes, which gptmill has; prepare the "
            f"text with another, or encode it elsewhere into train.bin and val.bin"
        )
    return found or _of_dataset(folder) or gpt2.from_folder(folder)


def _of_dataset(folder: Path) -> Tokenizer | None:
    """nanoGPT's characters, of a folder with the text that its files were made of."""
    from gptmill.data.facts import dataset_tokenizer, read_facts
    from gptmill.data.layout import is_dataset

    return dataset_tokenizer(read_facts(str(folder.parent), folder.name)) if is_dataset(folder) else None


def same_ids(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether every id that one has stands for the same text in the other, which may have more: GPT-2's with a token added.

    A name does not say it: two texts teach two bpe-4096.
    """
    if one.name == other.name and one.name.partition("-")[0] not in ("bpe", "char"):
        return True
    if one.end_of_text != other.end_of_text or one.vocab_size > other.vocab_size:
        return False
    return all(one.piece(token) == other.piece(token) for token in range(one.vocab_size))
