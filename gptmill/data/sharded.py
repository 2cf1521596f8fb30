"""A split over several files, read as the one stream it is: a window may begin in one file and end in the next.

That is what the files hold: llm.c's scripts cut documents in two where a shard is full, so the next one goes on in mid-sentence.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from gptmill.data.layout import SplitFiles
from gptmill.data.shards import Tokens, map_file

OPEN_FILES = 128  # each map keeps a file open; systems allow 256 (macOS) or 1,024, and FineWeb 100B has 1,031 shards


class ShardedTokens(Tokens):
    """As ``Tokens``, for two files or more; files are mapped when first needed, at most OPEN_FILES at a time."""

    def __init__(self, split: SplitFiles, name: str, vocab_size: int | None) -> None:
        self.path = split.files[0].path.with_name(name)
        self.vocab_size = vocab_size
        self._unchecked = set()  # no hashes
        self._files = split.files
        self._starts = np.cumsum([0, *(file.tokens for file in split.files)])  # first token of each file, and the end
        self.map = lru_cache(OPEN_FILES)(lambda number: map_file(split.files[number], split.dtype))
        self.dtype = np.dtype(split.dtype)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def windows(self, length: int) -> ShardedWindows:
        return ShardedWindows(self, length)

    def place(self, position: int) -> tuple[Path, int]:
        number = int(self._starts.searchsorted(position, "right")) - 1
        return self._files[number].path, position - int(self._starts[number])

    def file_of(self, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each position: its file's number, the position in that file, and how many tokens follow there."""
        number = self._starts.searchsorted(offsets, "right") - 1
        return number, offsets - self._starts[number], self._starts[number + 1] - offsets


class ShardedWindows:
    """``windows[offsets]`` is an array [len(offsets), length], as indexing a sliding_window_view of the whole would give."""

    def __init__(self, tokens: ShardedTokens, length: int) -> None:
        self._tokens = tokens
        self._length = length

    def __getitem__(self, offsets: np.ndarray) -> np.ndarray:
        batch = np.empty((len(offsets), self._length), self._tokens.dtype)
        number, local, rest = self._tokens.file_of(offsets)
        whole = rest >= self._length
        for file in np.unique(number[whole]).tolist():
            rows = np.flatnonzero(whole & (number == file))
            batch[rows] = np.lib.stride_tricks.sliding_window_view(self._tokens.map(file), self._length)[local[rows]]
        for row in np.flatnonzero(~whole).tolist():
            batch[row] = self._across(int(number[row]), int(local[row]))
        return batch

    def _across(self, file: int, local: int) -> np.ndarray:
        """One window that begins in a file and ends in a later one; shards may be shorter than a window."""
        parts: list[np.ndarray] = []
        missing = self._length
        while missing:
            parts.append(self._tokens.map(file)[local : local + missing])
            missing -= len(parts[-1])
            file, local = file + 1, 0
        return np.concatenate(parts)
