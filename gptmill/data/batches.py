"""Which tokens come next: a pure function of (seed, stream, global sequence index).

There is no loader state. Sequence number 12,345 of a run is the same window of text however the batch is split, however
many devices there are, and whether or not the run was killed in between.
"""

from __future__ import annotations

import numpy as np

from gptmill.data.tokens import Tokens
from gptmill.errors import DataError
from gptmill.registry import Registry
from gptmill.seeds import splitmix64, stream_key
from gptmill.targets import marked


class Windows:
    """Reads windows of block_size + 1 tokens: the inputs are all but the last, the targets all but the first.

    Args:
        tokens: one split.
        block_size: context length [tokens].

    Raises:
        DataError: the split is shorter than one window.
    """

    def __init__(self, tokens: Tokens, block_size: int) -> None:
        if len(tokens) < block_size + 1:
            raise DataError(
                f"{tokens.path}: {len(tokens)} tokens, but one window needs block_size + 1 = {block_size + 1}; "
                f"lower --block_size or prepare more text"
            )
        self.tokens = tokens
        self.block_size = block_size
        self.n_windows = (len(tokens) - 1) // block_size  # non-overlapping; neighbours share the one token they predict
        self._windows = tokens.windows(block_size + 1)
        self._counts = tokens.mask.windows(block_size + 1) if tokens.mask else None

    def gather(self, offsets: np.ndarray) -> np.ndarray:
        """Windows starting at offsets int64 [count] -> int64 [count, block_size + 1], marked as ``targets.py`` says."""
        self.tokens.verify(offsets, self.block_size + 1)
        batch: np.ndarray = self._windows[offsets].astype(np.int64)
        self.tokens.check_ids(batch, offsets)
        if self._counts is None or self.tokens.mask is None:
            return batch
        self.tokens.mask.verify(offsets, self.block_size + 1)
        return marked(batch, self._counts[offsets])


class Shuffle:
    """Non-overlapping windows, each exactly once an epoch, in a new order every epoch."""

    def __init__(self, windows: Windows, seed: int, stream: str) -> None:
        self._windows = windows
        self._seed, self._stream = seed, stream
        self._epoch: tuple[int, np.ndarray] | None = (
            None  # (epoch, order); the pair is replaced whole, so threads agree
        )

    def offsets(self, first: int, count: int) -> np.ndarray:
        n = self._windows.n_windows
        chosen = np.empty(count, dtype=np.int64)
        done = 0
        while done < count:
            epoch, place = divmod(first + done, n)
            part = self._order(epoch)[place : place + count - done]
            chosen[done : done + len(part)] = part
            done += len(part)
        return chosen * self._windows.block_size

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch is None or self._epoch[0] != epoch:
            index = np.arange(self._windows.n_windows, dtype=np.uint64)
            order = splitmix64(stream_key(self._seed, self._stream, epoch), index).argsort()
            self._epoch = (epoch, order)
            return order
        return self._epoch[1]


class Random:
    """nanoGPT's sampling: every window starts anywhere, drawn with replacement."""

    def __init__(self, windows: Windows, seed: int, stream: str) -> None:
        self._n_offsets = np.uint64(len(windows.tokens) - windows.block_size)
        self._key = stream_key(seed, stream)

    def offsets(self, first: int, count: int) -> np.ndarray:
        index = np.arange(first, first + count, dtype=np.uint64)
        return (splitmix64(self._key, index) % self._n_offsets).astype(np.int64)


SAMPLINGS: Registry[type[Shuffle] | type[Random]] = Registry("sampling")
SAMPLINGS.register("shuffle")(Shuffle)
SAMPLINGS.register("random")(Random)


class Batches:
    """The sequences of one stream, by their global index.

    Args:
        sampling: 'shuffle' = every window once an epoch; 'random' = nanoGPT's windows.
        stream: streams of one seed are independent of each other.
    """

    def __init__(
        self, tokens: Tokens, block_size: int, seed: int, sampling: str = "shuffle", stream: str = "train"
    ) -> None:
        self._windows = Windows(tokens, block_size)
        self._sampling = SAMPLINGS[sampling](self._windows, seed, stream)

    def take(self, first: int, count: int) -> np.ndarray:
        """Sequences first .. first + count - 1, int64 [count, block_size + 1]. ``take(0, 12)`` is any split of it."""
        return self._windows.gather(self._sampling.offsets(first, count))


def fixed_batches(tokens: Tokens, block_size: int, seed: int, n: int) -> np.ndarray:
    """The n evaluation windows of a split, int64 [n, block_size + 1]: the same for every evaluation with this seed.

    They never overlap and come in text order. Where the split has fewer than n, every window is there once.
    """
    windows = Windows(tokens, block_size)
    index = np.arange(windows.n_windows, dtype=np.uint64)
    chosen = np.sort(splitmix64(stream_key(seed, "fixed"), index).argsort()[:n])
    return windows.gather(chosen * block_size)
