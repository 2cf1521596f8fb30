"""What ``gptmill eval`` measures on: a dataset's split, or text files, as ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gptmill.cli.runs import imported
from gptmill.data.facts import other_tokenizer, read_facts
from gptmill.data.inputs import text_files
from gptmill.data.layout import SplitFiles, is_dataset, split_files
from gptmill.data.tokenizers import Tokenizer, canonical
from gptmill.errors import DataError, UserError
from gptmill.plain import read_plain

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Text:
    """
    Args:
        name: for people.
        parts: ids, each part foreseen apart from the others; ~id where a token is only read (``targets.py``).
        n_tokens: in all of them; None where that is known at the end.
    """

    name: str
    parts: Iterator[np.ndarray]
    n_tokens: int | None


def of_files(paths: list[Path], text_key: str, tokenizer: Tokenizer, documents: bool) -> Text:
    """Text files and folders, as prepare takes them."""
    name = ", ".join(str(path) for path in paths[:3]) + ", ..." * (len(paths) > 3)
    return Text(name, _encoded(paths, text_key, tokenizer, documents), None)


def of_dataset(path: Path, split: str, tokenizer: Tokenizer, documents: bool) -> Text:
    """A prepared split: all of it, or a document at a time.

    Raises:
        UserError: none is there, or of other tokens than the run's.
    """
    if not is_dataset(path):
        raise UserError(f"{path}: no prepared dataset here; name another with --dataset, or a text with --input")
    files = split_files(path / f"{split}.bin")
    if (theirs := _other(path, files, tokenizer)) is not None:
        raise UserError(
            f"{path}: was prepared with {theirs}, the run knows {tokenizer.name}; name its text with --input"
        )
    return Text(f"{path.name}/{split}", _prepared(path, split, tokenizer, documents), files.tokens)


def _other(path: Path, files: SplitFiles, mine: Tokenizer) -> str | None:
    """What made a split's ids, if it was not this tokenizer."""
    try:
        return other_tokenizer(read_facts(str(path.parent), path.name), mine)
    except DataError:  # the other split or tokenizer/ is missing or damaged: this one can be measured, names must do
        theirs = files.meta.tokenizer if files.meta else files.flavour.tokenizer if files.flavour else None
        return None if theirs == canonical(mine.name) else theirs


def own_dataset(name: str) -> Path:
    """The dataset that a run was trained on.

    Raises:
        UserError: it does not say, or is no run, or one that was imported.
    """
    if imported(Path(name)):
        raise UserError(f"{name}: was imported, so no text belongs to it; name one: --dataset or --input")
    try:
        return Path(str(json.loads(read_plain(Path(name) / "plan.json"))["data_path"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{name}: does not say what it was trained on; name a text: --dataset or --input") from None


def _prepared(path: Path, split: str, tokenizer: Tokenizer, documents: bool) -> Iterator[np.ndarray]:
    import numpy as np

    from gptmill.data.sharded import ShardedTokens
    from gptmill.data.shards import open_tokens
    from gptmill.targets import ids_of, marked

    tokens = open_tokens(path / f"{split}.bin")
    tokens.verify_all()
    # shards are one stream, and one window of all of it
    ids = tokens.windows(len(tokens))[np.array([0])][0] if isinstance(tokens, ShardedTokens) else tokens.ids
    if tokens.mask is not None:
        ids = marked(ids.astype(np.int64), tokens.mask.ids)
    if not documents:
        yield ids
        return
    assert tokenizer.end_of_text is not None
    first = np.array([tokenizer.end_of_text], dtype=ids.dtype)
    ends = ids_of(ids) == tokenizer.end_of_text
    begin = 0
    for end in [*np.flatnonzero(ends).tolist(), len(ids) - 1]:
        yield np.concatenate((first, ids[begin : end + 1]))
        begin = end + 1


def _encoded(paths: list[Path], text_key: str, tokenizer: Tokenizer, documents: bool) -> Iterator[np.ndarray]:
    """The ids of texts: of all, with what prepare puts between two, or of a document at a time, after an end of text."""
    import numpy as np

    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    whole: list[np.ndarray] = []
    one: list[np.ndarray] = []
    for piece in text_files(paths, text_key=text_key).pieces():
        text = piece.text + "\n" * (piece.last and not end and not documents and not piece.text.endswith("\n"))
        one.append(np.asarray(tokenizer.encode(text), dtype=np.int64))
        if piece.last:
            document = np.concatenate([*one, np.array(end, dtype=np.int64)])
            one = []
            if documents:
                yield np.concatenate([np.array(end, dtype=np.int64), document])
            else:
                whole.append(document)
    if whole:
        yield np.concatenate(whole)[: -1 if end else None]  # nothing follows the last
