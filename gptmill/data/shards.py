"""Token files: a streaming writer, and a reader that trusts nothing before it has checked it.

The reader maps the file into memory and compares each 64 MiB block with its SHA-256 the first time a window touches it.
nanoGPT's and llm.c's files (no meta.json) are read as they are; having no hashes, their ids are checked batch by batch.
"""

from __future__ import annotations

import hashlib
import os
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Protocol

import numpy as np

from gptmill.data.layout import TokenFile, split_files
from gptmill.data.meta import BLOCK_BYTES, SplitMeta
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


class WindowView(Protocol):
    """What turns offsets [count] into windows [count, length] of ids."""

    def __getitem__(self, offsets: np.ndarray, /) -> np.ndarray: ...


class Tokens:
    """One split, ready to be sampled. ``len(tokens)`` is its number of tokens.

    Args:
        ids: uint16 or uint32 [n_tokens], usually a memory map; an array in memory needs nothing else.
        sha256: one digest per block; empty = nothing to check against.
        vocab_size: when given, every batch is compared with it (bare files, whose header promises nothing).
    """

    def __init__(
        self,
        ids: np.ndarray,
        path: Path | str = "tokens",
        sha256: tuple[str, ...] = (),
        block_bytes: int = BLOCK_BYTES,
        vocab_size: int | None = None,
    ) -> None:
        self.ids = ids
        self.path = Path(path)
        self.vocab_size = vocab_size
        self._sha256 = sha256
        self._block_tokens = block_bytes // ids.itemsize
        self._unchecked = set(range(len(sha256)))

    def __len__(self) -> int:
        return len(self.ids)

    def windows(self, length: int) -> WindowView:
        """Every window of that length: ``[offsets]`` gives ``offsets[i] : offsets[i] + length`` for each i."""
        return np.lib.stride_tricks.sliding_window_view(self.ids, length)

    def place(self, position: int) -> tuple[Path, int]:
        """File and token number in it, for messages."""
        return self.path, position

    def verify(self, offsets: np.ndarray, length: int) -> None:
        """Check the blocks that the windows ``offsets[i] : offsets[i] + length`` touch and nobody touched before.

        Raises:
            DataError: naming file, block and byte offset.
        """
        if not self._unchecked or not len(offsets):
            return
        first, last = offsets // self._block_tokens, (offsets + (length - 1)) // self._block_tokens
        touched: set[int] = set()
        for start, stop in set(zip(first.tolist(), last.tolist())):
            touched.update(range(start, stop + 1))
        for block in sorted(touched & self._unchecked):
            self._verify_block(block)
            self._unchecked.discard(block)

    def verify_all(self) -> None:
        """Check every block that has not been checked yet (reads the whole file)."""
        for block in sorted(self._unchecked):
            self._verify_block(block)
        self._unchecked.clear()

    def _verify_block(self, block: int) -> None:
        start = block * self._block_tokens
        data = self.ids[start : start + self._block_tokens]
        if hashlib.sha256(data.view(np.uint8).data).hexdigest() != self._sha256[block]:
            raise DataError(
                f"{self.path}: block {block} (from byte {start * self.ids.itemsize}) is damaged: its SHA-256 is not the "
                f"one in meta.json; restore the file or prepare the dataset again with --overwrite"
            )

    def check_ids(self, batch: np.ndarray, offsets: np.ndarray) -> None:
        """Refuse ids outside the vocabulary; free for files whose header already bounds them.

        Args:
            batch: [len(offsets), length] ids of the windows that begin at offsets.
        """
        if self.vocab_size is not None and batch.size and (high := int(batch.max())) >= self.vocab_size:
            row, column = divmod(int(batch.argmax()), batch.shape[1])
            path, position = self.place(int(offsets[row]) + column)
            raise DataError(
                f"{path}: token id {high} (token {position}) does not fit vocab_size={self.vocab_size}; "
                f"set --vocab_size to at least {high + 1}, or use the dataset's own tokenizer"
            )


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
        from gptmill.data.sharded import ShardedTokens

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
    return Tokens(map_file(file, split.dtype), path, found.sha256, split.meta.block_bytes)


def map_file(file: TokenFile, dtype: str) -> np.ndarray:
    """The ids of one file, mapped into memory [file.tokens].

    Raises:
        DataError: the file is no longer what its header was.
    """
    try:
        with file.path.open("rb") as opened:
            mapped = mmap(opened.fileno(), 0, access=ACCESS_READ)  # several times quicker to make than numpy's memmap
        return np.frombuffer(mapped, np.dtype(dtype).newbyteorder("<"), file.tokens, file.offset)
    except (OSError, ValueError) as error:
        raise DataError(f"{file.path}: cannot be mapped any more ({error}); was it replaced meanwhile?") from None
