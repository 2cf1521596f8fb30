"""Token files: a streaming writer, and the one way to open a split, whichever files hold it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from gptmill.data.layout import split_files
from gptmill.data.meta import BLOCK_BYTES, MASK_DTYPE, SplitMeta
from gptmill.data.sharded import ShardedTokens
from gptmill.data.tokens import Tokens, map_file
from gptmill.errors import DataError


class SplitWriter:
    """Writes one .bin in bounded memory and learns its header on the way. Use as a context manager.

    Args:
        path: written directly; making it appear whole or not at all is the caller's business (``staging.py``).
        vocab_size: an id at or above it is a bug of the tokenizer and stops the writer.
    """

    def __init__(self, path: Path, dtype: str, vocab_size: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._path = path
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._vocab_size = vocab_size
        self._block_bytes = block_bytes
        self._hashes: list[str] = []
        self._block = hashlib.sha256()
        self._room = block_bytes  # bytes left in the block being hashed
        self._max_id = 0
        self.tokens = 0

    def __enter__(self) -> SplitWriter:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, *failure: object) -> None:
        if failure[0] is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()

    def append(self, ids: np.ndarray) -> None:
        """Write ids [n] of any integer type."""
        if not len(ids):
            return
        low, high = int(ids.min()), int(ids.max())
        assert low >= 0 and high < self._vocab_size, f"tokenizer emitted id {low if low < 0 else high}"
        self._max_id = max(self._max_id, high)
        self.tokens += len(ids)
        data = np.ascontiguousarray(ids, self._dtype).view(np.uint8).data
        self._file.write(data)
        while len(data):
            part, data = data[: self._room], data[self._room :]
            self._block.update(part)
            self._room -= len(part)
            if not self._room:
                self._close_block()

    def finish(self) -> SplitMeta:
        """The header entry; call once, after the last append."""
        if self._room < self._block_bytes:
            self._close_block()
        return SplitMeta(self.tokens, self._max_id, tuple(self._hashes))

    def _close_block(self) -> None:
        self._hashes.append(self._block.hexdigest())
        self._block = hashlib.sha256()
        self._room = self._block_bytes


def open_tokens(path: Path | str, vocab_size: int | None = None) -> Tokens:
    """Open the split called ``data/<name>/train.bin`` or ``val.bin``, whichever files hold it (``layout.py``).

    Args:
        vocab_size: the model's. Files with meta.json are refused here if an id does not fit; others are checked
            batch by batch.

    Raises:
        DataError: a file is missing, damaged, empty, or does not fit what its header or the model says.
    """
    path = Path(path)
    split = split_files(path)
    if not split.tokens:
        raise DataError(f"{path}: holds no tokens; prepare the dataset again with more text")
    if len(split.files) > 1:
        return ShardedTokens(split, path.name, vocab_size)
    [file] = split.files
    if split.meta is None:
        return Tokens(map_file(file, split.dtype), file.path, vocab_size=vocab_size)
    found = split.meta.train if path.name == "train.bin" else split.meta.val
    if vocab_size is not None and found.max_id >= vocab_size:
        raise DataError(
            f"{path}: token id {found.max_id} does not fit vocab_size={vocab_size}; "
            f"leave --vocab_size out, or set it to at least {split.meta.vocab_size}"
        )
    mask = None
    if split.mask is not None:
        ids = map_file(split.mask, MASK_DTYPE)
        mask = Tokens(ids, split.mask.path, found.mask_sha256, split.meta.block_bytes)
    return Tokens(map_file(file, split.dtype), path, found.sha256, split.meta.block_bytes, mask=mask)
