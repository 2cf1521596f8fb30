"""The second pass over a text: its tokens into train.bin and val.bin, about a million characters at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gptmill.data.meta import ITEM_BYTES, SplitMeta, dtype_for
from gptmill.data.room import room_for
from gptmill.data.shards import SplitWriter
from gptmill.data.sources import Source
from gptmill.data.survey import Fingerprint, Splitter, Survey
from gptmill.data.tokenizers import Tokenizer
from gptmill.errors import DataError

BATCH_CHARS = 2**20
Progress = Callable[[int, int], None]


@dataclass
class Batch:
    """Texts of each split in order; None stands for end-of-text."""

    train: list[str | None] = field(default_factory=list)
    val: list[str | None] = field(default_factory=list)
    characters: int = 0

    def add(self, split: str, text: str, ends: bool) -> None:
        texts = self.val if split == "val" else self.train
        texts.append(text)
        if ends:
            texts.append(None)
        self.characters += len(text)


def write_splits(
    source: Source,
    aside: Path,
    tokenizer: Tokenizer,
    found: Survey,
    val_fraction: float,
    progress: Progress | None,
) -> tuple[SplitMeta, SplitMeta]:
    """Encode into ``aside``; returns what the headers of training and validation say.

    Raises:
        DataError: the text is too short, or not the one that was surveyed.
        UserError: the disk is too small.
    """
    dtype = dtype_for(tokenizer.vocab_size)
    seen = Fingerprint()
    done = 0
    with (
        SplitWriter(aside / "train.bin", dtype, tokenizer.vocab_size) as train,
        SplitWriter(aside / "val.bin", dtype, tokenizer.vocab_size) as val,
    ):
        for batch in _batches(source, Splitter(found, val_fraction), seen, found, tokenizer.end_of_text is None):
            train_ids, val_ids = _encoded(batch.train, tokenizer), _encoded(batch.val, tokenizer)
            if not done:
                per_character = (len(train_ids) + len(val_ids)) * ITEM_BYTES[dtype] / max(1, batch.characters)
                room_for(aside, per_character * found.characters)
            train.append(train_ids)
            val.append(val_ids)
            done += batch.characters
            if progress:
                progress(min(done, found.characters), found.characters)
        splits = train.finish(), val.finish()
    if seen.hexdigest() != found.sha256:
        raise DataError(f"{source.description}: changed while it was being read; prepare again when it is at rest")
    if not all(split.tokens for split in splits):
        raise DataError(f"{source.description}: too short to have a training and a validation part; add text")
    return splits


def _batches(
    source: Source, splitter: Splitter, seen: Fingerprint, found: Survey, break_lines: bool
) -> Iterator[Batch]:
    """Args: break_lines: the tokenizer has no end-of-text, so a line break keeps documents apart."""
    apart = found.documents > 1 and not source.one_text
    batch = Batch()
    for piece in source.pieces():
        seen.add(piece)
        for split, text in splitter.parts(piece):
            ends = apart and piece.last
            if ends and break_lines and not text.endswith("\n"):
                text += "\n"
            batch.add(split, text, ends and not break_lines)
        if batch.characters >= BATCH_CHARS:
            yield batch
            batch = Batch()
    if batch.train or batch.val:
        yield batch


def _encoded(texts: list[str | None], tokenizer: Tokenizer) -> np.ndarray:
    """Ids [n], uint32."""
    ids = iter(tokenizer.encode_batch([text for text in texts if text is not None]))
    none = np.array([], np.uint32)
    end = none if tokenizer.end_of_text is None else np.array([tokenizer.end_of_text], np.uint32)
    parts = [end if text is None else next(ids) for text in texts]
    return np.concatenate([none, *parts], dtype=np.uint32, casting="unsafe")
