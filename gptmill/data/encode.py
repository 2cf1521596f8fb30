"""The second pass over a text: its tokens into train.bin and val.bin, about a million characters at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gptmill.data.meta import ITEM_BYTES, MASK_DTYPE, SplitMeta, dtype_for
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
    """Texts of each split in order, and whether each counts as a target; None stands for end-of-text."""

    train: list[tuple[str | None, bool]] = field(default_factory=list)
    val: list[tuple[str | None, bool]] = field(default_factory=list)
    characters: int = 0

    def add(self, split: str, text: str, counted: bool, ends: bool) -> None:
        texts = self.val if split == "val" else self.train
        texts.append((text, counted))
        if ends:
            texts.append((None, counted))
        self.characters += len(text)


class Split:
    """The files of one split, while they are written. Use as a context manager.

    Args:
        masked: beside the ids goes which of them count.
    """

    def __init__(self, path: Path, vocab_size: int, masked: bool) -> None:
        self.ids = SplitWriter(path, dtype_for(vocab_size), vocab_size)
        self.mask = SplitWriter(path.with_suffix(".mask"), MASK_DTYPE, 2) if masked else None
        self._counted = 0

    def __enter__(self) -> Split:
        self.ids.__enter__()
        if self.mask:
            self.mask.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self.ids.__exit__(*failure)
        if self.mask:
            self.mask.__exit__(*failure)

    def append(self, parts: list[np.ndarray], counted: list[bool]) -> None:
        """Args: counted: of each part."""
        self.ids.append(_joined(parts))
        if self.mask:
            mask = np.repeat(counted, [len(part) for part in parts])
            self.mask.append(mask)
            self._counted += int(mask.sum())

    def finish(self) -> SplitMeta:
        found = self.ids.finish()
        return replace(found, counted=self._counted, mask_sha256=self.mask.finish().sha256) if self.mask else found


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
        Split(aside / "train.bin", tokenizer.vocab_size, source.completions) as train,
        Split(aside / "val.bin", tokenizer.vocab_size, source.completions) as val,
    ):
        for batch in _batches(source, Splitter(found, val_fraction), seen, found, tokenizer.end_of_text is None):
            train_ids, val_ids = _encoded(batch.train, tokenizer), _encoded(batch.val, tokenizer)
            if not done:
                tokens = sum(map(len, train_ids)) + sum(map(len, val_ids))
                item_bytes = ITEM_BYTES[dtype] + source.completions
                room_for(aside, tokens * item_bytes / max(1, batch.characters) * found.characters)
            train.append(train_ids, [counted for _, counted in batch.train])
            val.append(val_ids, [counted for _, counted in batch.val])
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
            ends = apart and (piece.last or piece.closes)
            if ends and break_lines and not text.endswith("\n"):
                text += "\n"
            batch.add(split, text, piece.counted, ends and not break_lines)
        if batch.characters >= BATCH_CHARS:
            yield batch
            batch = Batch()
    if batch.train or batch.val:
        yield batch


def _encoded(texts: list[tuple[str | None, bool]], tokenizer: Tokenizer) -> list[np.ndarray]:
    """Ids [n] of each text."""
    ids = iter(tokenizer.encode_batch([text for text, _ in texts if text is not None]))
    end = np.array([] if tokenizer.end_of_text is None else [tokenizer.end_of_text], np.uint32)
    return [end if text is None else next(ids) for text, _ in texts]


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Ids [n], uint32."""
    return np.concatenate([np.array([], np.uint32), *parts], dtype=np.uint32, casting="unsafe")
