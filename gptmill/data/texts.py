"""Text files as documents, read in bounded memory: however long a file or a line is, one piece is a quarter of a million
characters at most. Input is strict UTF-8; a byte that is not names its place.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gptmill.data import parquet
from gptmill.data.holes import refuse_holes
from gptmill.data.packed import unpacked
from gptmill.data.pieces import Piece, as_pieces
from gptmill.errors import DataError
from gptmill.plain import open_plain

READ_BYTES = 2**20
LONGEST_LINE = 64 * 2**20  # [bytes] of one JSON line or Parquet row, which are in memory whole
PARQUET = ".parquet"
JSON_LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
PACKED = (PARQUET, ".jsonl.gz", ".jsonl.zst")  # their zeros may be good, and a copy may have made a hole of them


class TextFiles:
    """Documents of some files: a .jsonl has one a line, a .parquet one a row, any other file is one document.

    Args:
        files: (path, key) in reading order.
        description: for people, kept in meta.json.
        errors: 'strict' stops at text that is not UTF-8; 'replace' puts U+FFFD there and counts.
        skipped: files that were left out when the list was made, for the report.
        text_key: the key of a JSON line and the column of a Parquet file that hold the text.
        text_bytes: there are at least; 0 where nobody knows before reading.
    """

    own_split = False  # which documents are validation is not said by the files
    one_text = False  # the documents are texts of their own
    completions = False  # all of a text counts

    def __init__(
        self,
        files: Iterable[tuple[Path, str]],
        description: str,
        errors: str = "strict",
        skipped: int = 0,
        text_key: str = "text",
        text_bytes: int = 0,
    ) -> None:
        self._files = files
        self._errors = errors
        self._text_key = text_key
        self.description = description
        self.skipped = skipped
        self.text_bytes = text_bytes
        self.replaced = 0  # of the latest pass
        self.nulls = 0  # rows without a text, left out; of the latest pass

    def pieces(self) -> Iterator[Piece]:
        """Every document in order, cut into pieces. Each call is a fresh pass; the cuts do not depend on anything else.

        Raises:
            DataError: file, line and byte of what is not text.
        """
        self.replaced = self.nulls = 0
        for path, key in self._files:
            try:
                with open_plain(path) as file:
                    if not path.name.endswith(PACKED):
                        refuse_holes(file, path)
                    if path.name.endswith(JSON_LINES):
                        yield from self._jsonl(unpacked(file, path), path, key)
                    elif path.suffix == PARQUET:
                        yield from self._parquet(file, path, key)
                    else:
                        yield from as_pieces(self._decoded(file, path), key)
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror})") from None

    def rows(self) -> Iterator[str]:
        """The rows of .parquet files and the lines of others, in order, blank ones included; nulls count as blank."""
        self.replaced = self.nulls = 0
        for path, _ in self._files:
            try:
                with open_plain(path) as file:
                    if path.suffix == PARQUET:
                        for row, raw in parquet.rows(file, path, self._text_key):
                            yield self._utf8(raw, f"{path}: row {row}", "text") if raw else ""
                    else:
                        refuse_holes(file, path)
                        yield from _lines(self._decoded(file, path))
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror})") from None

    def _decoded(self, file: BinaryIO, path: Path) -> Iterator[str]:
        pending = b""
        offset, line = 0, 1  # of pending's first byte
        while True:
            chunk = file.read(READ_BYTES)
            data = pending + chunk
            if offset == 0 and data.startswith(codecs.BOM_UTF8):
                offset, data = 3, data[3:]
            try:
                text, used = codecs.utf_8_decode(data, "strict", not chunk)
            except UnicodeDecodeError as error:
                if self._errors == "strict":
                    line += data.count(b"\n", 0, error.start)
                    raise DataError(
                        _not_utf8(f"{path}:{line}: byte {offset + error.start}", data[error.start])
                    ) from None
                text, used = codecs.utf_8_decode(data, "replace", not chunk)
                self.replaced += text.count("\ufffd") - data[:used].count("\ufffd".encode())
            yield text
            if not chunk:
                return
            offset, line, pending = offset + used, line + data.count(b"\n", 0, used), data[used:]

    def _jsonl(self, file: BinaryIO, path: Path, key: str) -> Iterator[Piece]:
        number = 0
        while raw := _line(file, path):
            number += 1
            where = f"{path}:{number}"
            if len(raw) > LONGEST_LINE:
                raise DataError(
                    f"{where}: longer than {LONGEST_LINE >> 20} MiB; one JSON document a line, at most that long"
                )
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            if raw.strip():
                yield from self._of_line(raw, where, f"{key}:{number}")

    def _of_line(self, raw: bytes, where: str, key: str) -> Iterator[Piece]:
        return as_pieces(iter([self._document(raw, where)]), key)

    def _parquet(self, file: BinaryIO, path: Path, key: str) -> Iterator[Piece]:
        for row, raw in parquet.rows(file, path, self._text_key):
            where = f"{path}: row {row}"
            if raw is None:
                self.nulls += 1
                continue
            if len(raw) > LONGEST_LINE:
                raise DataError(f"{where}: longer than {LONGEST_LINE >> 20} MiB; split it into several documents")
            yield from as_pieces(iter([self._utf8(raw, where, "text")]), f"{key}:{row}")

    def _utf8(self, raw: bytes, where: str, what: str) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            if self._errors == "strict":
                raise DataError(_not_utf8(f"{where}: byte {error.start} of the {what}", raw[error.start])) from None
            text = raw.decode("utf-8", "replace")
            self.replaced += text.count("\ufffd") - raw.count("\ufffd".encode())
            return text

    def _json(self, raw: bytes, where: str) -> Any:
        line = self._utf8(raw, where, "line")
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON ({str(error).split(':')[0]}); .jsonl has one object a line") from None

    def _document(self, raw: bytes, where: str) -> str:
        body = self._json(raw, where)
        text = body.get(self._text_key) if isinstance(body, dict) else None
        if not isinstance(text, str):
            name = json.dumps(self._text_key)
            pair = isinstance(body, dict) and ("prompt" in body or "messages" in body)
            example = "; --completions reads prompts with responses" if pair else ""
            raise DataError(
                f"{where}: no text; every line must be an object with a string {name} (--text_key NAME){example}"
            )
        return self._sound(text, where)

    def _sound(self, text: str, where: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            if self._errors == "strict":
                raise DataError(
                    f"{where}: character {error.start} is half a surrogate pair; gptmill prepare --errors replace puts U+FFFD there"
                ) from None
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            self.replaced += whole.count("\ufffd") - text.count("\ufffd")
            return whole
        return text


def _lines(texts: Iterator[str]) -> Iterator[str]:
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from (f"{line}\n" for line in whole)
    if rest:
        yield rest


def _line(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.readline(LONGEST_LINE + 1)
    except EOFError as error:
        raise DataError(f"{path}: {error}; copy or download it again") from None


def _not_utf8(where: str, byte: int) -> str:
    return f"{where} (0x{byte:02x}) is not UTF-8; convert the file, or gptmill prepare --errors replace puts U+FFFD there and counts"
