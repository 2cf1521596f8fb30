"""JSON lines in a compressed file, unpacked as they are read."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from gptmill.errors import UserError


def unpacked(file: BinaryIO, path: Path) -> BinaryIO:
    """The file itself, or what is packed in it, going by its name (.gz, .zst).

    Reading raises EOFError, saying what is wrong, where the packed bytes are damaged or end early.

    Raises:
        UserError: .zst without pyarrow, which knows that format.
    """
    if path.suffix == ".gz":
        return cast(BinaryIO, io.BufferedReader(_Sound(gzip.GzipFile(fileobj=file)), 2**20))
    if path.suffix != ".zst":
        return file
    try:
        import pyarrow
    except ImportError:
        raise UserError(f"{path}: reading .zst needs pyarrow; try: pip install pyarrow") from None
    return cast(BinaryIO, io.BufferedReader(_Sound(pyarrow.CompressedInputStream(file, "zstd")), 2**20))


class _Sound(io.RawIOBase):
    """A stream whose every complaint about its bytes is an EOFError."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise EOFError(f"damaged or cut off: it cannot be unpacked ({error})".replace("\n", " ")[:200]) from None
        buffer[: len(data)] = data
        return len(data)
