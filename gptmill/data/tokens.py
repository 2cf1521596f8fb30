"""The ids of one split, mapped into memory and not trusted before they are checked.

A file with meta.json is compared with its SHA-256, each 64 MiB block the first time a window touches it. nanoGPT's and llm.c's
files are read as they are; having no hashes, their ids are checked batch by batch.
"""

from __future__ import annotations

import hashlib
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Protocol

import numpy as np

from gptmill.data.layout import TokenFile
from gptmill.data.meta import BLOCK_BYTES
from gptmill.errors import DataError


class WindowView(Protocol):
    """What turns offsets [count] into windows [count, length] of ids."""

    def __getitem__(self, offsets: np.ndarray, /) -> np.ndarray: ...


class Tokens:
    """One split, ready to be sampled. ``len(tokens)`` is its number of tokens.

    Args:
        ids: uint16 or uint32 [n_tokens], usually a memory map; an array in memory needs nothing else.
        sha256: one digest per block; empty = nothing to check against.
        vocab_size: when given, every batch is compared with it (bare files, whose header promises nothing).
        mask: of the same length: 1 where an id counts as a target; None = all do.
    """

    def __init__(
        self,
        ids: np.ndarray,
        path: Path | str = "tokens",
        sha256: tuple[str, ...] = (),
        block_bytes: int = BLOCK_BYTES,
        vocab_size: int | None = None,
        mask: Tokens | None = None,
    ) -> None:
        self.ids = ids
        self.mask = mask
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
        if self.mask is not None:
            self.mask.verify_all()

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
