"""What is known of a dataset from its header and its file sizes alone, in milliseconds, without numpy."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from gptmill.data.corpora import CORPORA
from gptmill.data.meta import ITEM_BYTES, SPLITS, Meta, read_meta
from gptmill.errors import DataError, UserError
from gptmill.plan.types import DataFacts

if TYPE_CHECKING:
    from gptmill.data.tokenizers import Tokenizer

LLMC_MAGIC = b"\x88\xd8\x34\x01"  # 20240520, little-endian: llm.c's header, which must not be trained on as tokens
LARGEST_INPUT = 256 * 2**20  # [bytes]; an input.txt beyond this is not read to rebuild a character vocabulary


def dataset_folder(data_dir: str | Path, name: str) -> Path:
    """``data_dir/name``, where name is one or more plain path components below data_dir."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise UserError(f"dataset={name!r}: must be a folder name under data_dir; to look elsewhere set --data_dir")
    return Path(data_dir) / name


def read_facts(data_dir: str, dataset: str) -> DataFacts:
    """Token counts, vocabulary and fingerprint of a prepared dataset.

    Raises:
        DataError: not prepared yet (says how to), or its files contradict its header.
    """
    folder = dataset_folder(data_dir, dataset)
    if not (folder / "train.bin").exists() and not (folder / "meta.json").exists():
        raise DataError(_missing(folder, dataset))
    meta, train_tokens = split_size(folder / "train.bin")
    _, val_tokens = split_size(folder / "val.bin")
    if meta is not None:
        name, sha256 = meta.tokenizer, meta.sha256
        return DataFacts(dataset, str(folder), train_tokens, val_tokens, meta.vocab_size, name, sha256)
    characters = rebuilt_characters(folder, train_tokens + val_tokens)
    if characters is None:
        return DataFacts(dataset, str(folder), train_tokens, val_tokens, None, None, None)
    return DataFacts(dataset, str(folder), train_tokens, val_tokens, len(characters), "char", None)


def facts_notice(facts: DataFacts) -> str | None:
    """One sentence a person should read about files that carry no header of ours; None when there is nothing to say."""
    if facts.sha256 is not None:
        return None
    if facts.vocab_size is None:
        return f"{facts.path}: token files without meta.json: no hashes to check, and the vocabulary is what --vocab_size says"
    return (
        f"{facts.path}: token files without meta.json: no hashes to check; the {facts.vocab_size} characters were rebuilt "
        f"from input.txt (meta.pkl is never opened)"
    )


def dataset_tokenizer(facts: DataFacts) -> Tokenizer | None:
    """The tokenizer that made a dataset's ids; None where only the user can know it.

    Raises:
        DataError: the dataset's tokenizer folder is missing or damaged.
    """
    from gptmill.data.tokenizers import load_tokenizer
    from gptmill.data.tokenizers.char import CharTokenizer

    folder = Path(facts.path)
    if facts.sha256 is not None:
        return load_tokenizer(folder / "tokenizer")
    characters = rebuilt_characters(folder, facts.train_tokens + facts.val_tokens)
    return CharTokenizer(characters) if characters else None


def split_size(path: Path) -> tuple[Meta | None, int]:
    """Header (None for a bare file) and number of tokens of one .bin, the header compared with the file's size.

    Raises:
        DataError: missing, not a regular file, cut short, of odd size, or in a foreign format.
    """
    if path.name not in [f"{name}.bin" for name in SPLITS]:
        raise DataError(f"{path}: a dataset's token files are called train.bin and val.bin")
    meta = read_meta(path.parent)
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            raise DataError(f"{path}: is not a regular file")
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError:
        raise DataError(f"{path}: missing; prepare the dataset again (gptmill prepare ... --overwrite)") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if meta is not None:
        tokens = (meta.train if path.name == "train.bin" else meta.val).tokens
        promised = tokens * ITEM_BYTES[meta.dtype]
        if found.st_size != promised:
            raise DataError(
                f"{path}: {found.st_size} bytes, but meta.json promises {promised} ({tokens} {meta.dtype} tokens): "
                f"preparing was interrupted or the file was cut; prepare the dataset again with --overwrite"
            )
        return meta, tokens
    if head == LLMC_MAGIC:
        raise DataError(f"{path}: has llm.c's header, which cannot be read yet; prepare the text with gptmill prepare")
    if found.st_size % 2 or not found.st_size:
        raise DataError(
            f"{path}: {found.st_size} bytes without a meta.json is not a file of uint16 tokens (nanoGPT's format); "
            f"copy it again or prepare the text with gptmill prepare"
        )
    return None, found.st_size // 2


def rebuilt_characters(folder: Path, n_tokens: int) -> str | None:
    """nanoGPT's character vocabulary, from the text beside its files; None when they do not belong together.

    nanoGPT keeps it in meta.pkl, and a pickle from a stranger is a program. The sorted characters of input.txt are the
    same vocabulary whenever the text has exactly as many characters as the splits have tokens.
    """
    path = folder / "input.txt"
    try:
        if not (folder / "meta.pkl").exists() or not n_tokens <= path.stat().st_size <= LARGEST_INPUT:
            return None
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return "".join(sorted(set(text))) if len(text) == n_tokens else None


def _missing(folder: Path, name: str) -> str:
    prepare = f"`gptmill prepare --input FILE_OR_DIR --name {name}`"
    if name in CORPORA:
        prepare = f"`gptmill prepare --dataset {name}`"
    elif name == "openwebtext":  # the schema's default
        prepare = (
            f"`gptmill prepare --dataset {name}` (its download is not in this version: {prepare} takes your own copy)"
        )
    return (
        f"{folder}: no prepared dataset here; run {prepare}, or train at once on text you have: `gptmill train quick`"
    )
