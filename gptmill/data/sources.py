"""What ``prepare`` reads: documents in order, and what the source itself says about splits.

TextFiles          files of the user or of a corpus (texts.py); the split is made by a hash, or by a cut
OwnSplits          training and validation come as files of their own
FirstDocuments     only the first N training documents of another source
FirstAreValidation the first N documents of another source are its validation
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Protocol

from gptmill.data.pieces import Piece, as_pieces
from gptmill.data.survey import share
from gptmill.data.texts import TextFiles


class Source(Protocol):
    """Documents in order.

    Attributes:
        own_split: every piece says which split it belongs to.
        one_text: each split is one running text, with no end-of-text inside or after it.
        text_bytes: there are at least; 0 where nobody knows before reading.
        completions: its pieces say whether they count as targets; otherwise all do.
        skipped, nulls, replaced: as in ``PrepareReport``.
    """

    description: str
    own_split: bool
    one_text: bool
    text_bytes: int
    completions: bool

    @property
    def skipped(self) -> int: ...
    @property
    def nulls(self) -> int: ...
    @property
    def replaced(self) -> int: ...

    def pieces(self) -> Iterator[Piece]:
        """Every document, cut into pieces; each call is a fresh pass over the same text."""
        ...


class OwnSplits:
    """Validation first, so that a limit on training documents ends the reading.

    Args:
        one_text: the rows (of a .parquet; the lines of a .txt) run on as one text, as WikiText's do.
        max_rows: of training rows, blank ones included; None = all.
    """

    own_split = True
    completions = False
    text_bytes = nulls = 0

    def __init__(
        self, train: TextFiles, val: TextFiles, description: str, one_text: bool, max_rows: int | None = None
    ) -> None:
        self._splits = {"val": val, "train": train}
        self._max_rows = max_rows
        self.description = description
        self.one_text = one_text

    @property
    def skipped(self) -> int:
        return sum(files.skipped for files in self._splits.values())

    @property
    def replaced(self) -> int:
        return sum(files.replaced for files in self._splits.values())

    def pieces(self) -> Iterator[Piece]:
        for split, files in self._splits.items():
            if self.one_text:
                rows = islice(files.rows(), self._max_rows if split == "train" else None)
                for piece in as_pieces(rows, split):
                    yield Piece(piece.text, split, piece.start, piece.last, split)
            else:
                for piece in files.pieces():
                    yield Piece(piece.text, f"{split}:{piece.key}", piece.start, piece.last, split)


class _Part:
    """What is the same for a part of another source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.description = source.description
        self.own_split = source.own_split
        self.one_text = source.one_text
        self.text_bytes = source.text_bytes
        self.completions = source.completions

    @property
    def skipped(self) -> int:
        return self._source.skipped

    @property
    def nulls(self) -> int:
        return self._source.nulls

    @property
    def replaced(self) -> int:
        return self._source.replaced


class FirstDocuments(_Part):
    """Reading stops when there are ``count`` training documents and one of validation."""

    def __init__(self, source: Source, count: int, val_fraction: float) -> None:
        super().__init__(source)
        self._count = count
        self.text_bytes = 0
        self._val_fraction = val_fraction

    def pieces(self) -> Iterator[Piece]:
        n_train = n_val = 0
        for piece in self._source.pieces():
            is_val = piece.split == "val" if piece.split else share(piece.key) < self._val_fraction
            if is_val or n_train < self._count:
                yield piece
                n_val += is_val and piece.last
                n_train += not is_val and piece.last
            if n_train >= self._count and n_val:
                return


class FirstAreValidation(_Part):
    """The first ``count`` documents are validation, as source 004's openwebtext_val_samples."""

    def __init__(self, source: Source, count: int) -> None:
        super().__init__(source)
        self._count = count
        self.own_split = True

    def pieces(self) -> Iterator[Piece]:
        seen = 0
        for piece in self._source.pieces():
            yield replace(piece, split="val" if seen < self._count else "train")
            seen += piece.last
