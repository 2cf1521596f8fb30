"""A split over several files, read as the one stream it is: a window may begin in one file and end in the next.

That is what the files hold: llm.c's scripts cut documents in two where a shard is full, so the next one goes on in mid-sentence.
"""

from __future__ import annotations

import resource
from functools import lru_cache
from pathlib import Path

import numpy as np

from gptmill.data.layout import SplitFiles
from gptmill.data.tokens import Tokens, map_file


def most_open_files() -> int:
    """How many shards to keep mapped: each map holds a file open, and the rest of the program needs some too.

    The usual limit is 1,024, and FineWeb 100B has 1,031 shards; beyond it, mapping one again takes microseconds.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**16 if soft == resource.RLIM_INFINITY else max(soft // 2, 16)


class ShardedTokens(Tokens):
    """As ``Tokens``, for two files or more."""

    def __init__(self, split: SplitFiles, name: str, vocab_size: int | None) -> None:
        self.path = split.files[0].path.with_name(name)
        self.vocab_size = vocab_size
        self.mask = None
        self._unchecked = set()  # no hashes
        self._split = split
        self._starts = np.cumsum([0, *(file.tokens for file in split.files)])  # first token of each file, and the end

    def __len__(self) -> int:
        return int(self._starts[-1])

    def windows(self, length: int) -> ShardedWindows:
        return ShardedWindows(self._split, self._starts, length)

    def place(self, position: int) -> tuple[Path, int]:
        number = int(self._starts.searchsorted(position, "right")) - 1
        return self._split.files[number].path, position - int(self._starts[number])


class ShardedWindows:
    """Indexed as a sliding_window_view of the whole stream: ``[offsets]`` is an array [len(offsets), length].

    Args:
        starts: position in the stream of each file's first token, and of the end.
    """

    def __init__(self, split: SplitFiles, starts: np.ndarray, length: int) -> None:
        self._starts = starts
        self._length = length
        self._dtype = split.dtype
        self._ids = lru_cache(most_open_files())(lambda number: map_file(split.files[number], split.dtype))

    def __getitem__(self, offsets: np.ndarray, /) -> np.ndarray:
        batch = np.empty((len(offsets), self._length), self._dtype)
        numbers = self._starts.searchsorted(offsets, "right") - 1
        for window, number, start in zip(batch, numbers.tolist(), (offsets - self._starts[numbers]).tolist()):
            filled = 0
            while filled < self._length:
                part = self._ids(number)[start : start + self._length - filled]
                window[filled : filled + len(part)] = part
                filled += len(part)
                number, start = number + 1, 0  # goes on in the next file; one may be shorter than a window
        return batch
