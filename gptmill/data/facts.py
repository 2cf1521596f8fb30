"""What is known of a dataset from its header and its file sizes alone, in milliseconds, without numpy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from gptmill.data import llmc
from gptmill.data.corpora import CORPORA
from gptmill.data.layout import SplitFiles, is_dataset, split_files
from gptmill.data.meta import SPLITS
from gptmill.errors import DataError, UserError
from gptmill.plan.types import DataFacts

if TYPE_CHECKING:
    from gptmill.data.tokenizers import Tokenizer

LARGEST_INPUT = 256 * 2**20  # [bytes]; an input.txt beyond this is not read to rebuild a character vocabulary


def dataset_folder(data_dir: str | Path, name: str) -> Path:
    """``data_dir/name``, where name is one or more plain path components below data_dir."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise UserError(f"dataset={name!r}: must be a folder name under data_dir; to look elsewhere set --data_dir")
    return Path(data_dir) / name


def folder_name(dataset: str, max_samples: int | None) -> str:
    """A part of a dataset has a folder of its own, so that it never takes the whole one's place."""
    return dataset if max_samples is None else f"{dataset}-first-{max_samples}"


def read_facts(data_dir: str, dataset: str, max_samples: int | None = None) -> DataFacts:
    """Token counts, vocabulary and fingerprint of a prepared dataset.

    Raises:
        DataError: not prepared yet (says how to), or its files contradict its header.
    """
    folder = dataset_folder(data_dir, folder_name(dataset, max_samples))
    if not is_dataset(folder):
        raise DataError(_missing(folder, dataset, max_samples))
    train, val = (split_files(folder / f"{split}.bin") for split in SPLITS)
    path, counts = str(folder), (train.tokens, val.tokens)
    if train.meta is not None:
        m = train.meta
        return DataFacts(dataset, path, *counts, m.vocab_size, m.tokenizer, m.sha256, m.train.counted)
    if train.flavour != val.flavour:
        kinds = [split.flavour.tokenizer if split.flavour else "no header" for split in (train, val)]
        raise DataError(
            f"{folder}: training tokens are of one kind ({kinds[0]}), validation tokens of another ({kinds[1]}); "
            f"both must come from the same tokenizer: prepare or download them together"
        )
    if train.flavour is not None:
        return DataFacts(
            dataset, path, *counts, train.flavour.vocab_size, train.flavour.tokenizer, _fingerprint(train, val)
        )
    characters = rebuilt_characters(folder, sum(counts))
    if characters is None:
        return DataFacts(dataset, path, *counts, None, None, None)
    return DataFacts(dataset, path, *counts, len(characters), "char", None)


def _fingerprint(*splits: SplitFiles) -> str:
    """Of files without hashes of their own: names, sizes and first tokens, enough to tell one download from another."""
    digest = hashlib.sha256(b"llm.c\n")
    for split in splits:
        for file in split.files:
            digest.update(f"{file.path.name!r} {file.tokens} {file.head_sha256}\n".encode("ascii", "backslashreplace"))
    return digest.hexdigest()


def facts_notice(facts: DataFacts) -> str | None:
    """One sentence a person should read about files that carry no header of ours; None when there is nothing to say."""
    folder = Path(facts.path)
    if facts.sha256 is not None:
        return None if (folder / "meta.json").exists() else _llmc_notice(folder, str(facts.tokenizer))
    if facts.vocab_size is None:
        return (
            f"{folder}: token files without meta.json: no hashes to check, and the vocabulary is what --vocab_size says"
        )
    return (
        f"{folder}: token files without meta.json: no hashes to check; the {facts.vocab_size} characters were rebuilt "
        f"from input.txt (meta.pkl is never opened)"
    )


def _llmc_notice(folder: Path, tokenizer: str) -> str:
    shards = [llmc.shard_paths(folder, split) for split in SPLITS if not (folder / f"{split}.bin").exists()]
    counts = " and ".join(str(len(paths)) for paths in shards)
    files = f"{counts} shards, each split read as one stream" if any(len(paths) > 1 for paths in shards) else "files"
    notice = f"{folder}: llm.c's {files}, {tokenizer} tokens: no hashes to check, so ids are checked batch by batch"
    if missing := [name for paths in shards for name in llmc.gaps(paths)]:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        notice += f"; by their numbers {names} should be there too: download again unless you left it out"
    return notice


def dataset_tokenizer(facts: DataFacts) -> Tokenizer | None:
    """The tokenizer that made a dataset's ids; None where only the user can know it.

    Raises:
        DataError: the dataset's tokenizer folder is missing or damaged.
    """
    from gptmill.data.tokenizers import load_tokenizer
    from gptmill.data.tokenizers.char import CharTokenizer
    from gptmill.data.tokenizers.gpt2 import Gpt2ByName

    folder = Path(facts.path)
    if (folder / "meta.json").exists():
        return load_tokenizer(folder / "tokenizer")
    if facts.sha256 is not None:  # llm.c's: its header says which tokenizer, and nothing of it lies beside the ids
        return Gpt2ByName() if facts.tokenizer == "gpt2" else None
    characters = rebuilt_characters(folder, facts.train_tokens + facts.val_tokens)
    return CharTokenizer(characters) if characters else None


def other_tokenizer(facts: DataFacts, mine: Tokenizer) -> str | None:
    """What made a dataset's ids, in words, if it was not this tokenizer; None if it was, or where nothing says it."""
    from gptmill.data.tokenizers import canonical, same_ids

    theirs = dataset_tokenizer(facts)
    if theirs is None:
        same = facts.tokenizer is None or facts.tokenizer == canonical(mine.name)
    else:
        same = same_ids(theirs, mine)
    if same:
        return None
    return f"another {mine.name}" if facts.tokenizer == mine.name else str(facts.tokenizer)


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


def _missing(folder: Path, name: str, max_samples: int | None) -> str:
    if others := sorted(path.name for path in folder.glob("*.bin")):
        return (
            f"{folder}: holds {others[0]!r}, but token files are called train.bin and val.bin or, written by llm.c, "
            f"NAME_train_000001.bin and NAME_val_000000.bin; rename them"
        )
    prepare = f"`gptmill prepare --input FILE_OR_DIR --name {folder.name}`"
    part = "" if max_samples is None else f" --max_samples {max_samples}"
    if name in CORPORA:
        prepare = f"`gptmill prepare --dataset {name}{part}`"
    return f"{folder}: no prepared dataset here; run {prepare}, or `gptmill train quick`, which brings its own text"
