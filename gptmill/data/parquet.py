"""Rows of a text column of a Parquet file, a few at a time. The one file that knows pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gptmill.errors import DataError, UserError

MAGIC = b"PAR1"  # the first and the last four bytes
ROWS = 32  # decoded at once; documents can be long, and so few are enough to be quick
READ_BYTES = 2**20
SHOWN = 12  # column names in a message


def rows(file: BinaryIO, path: Path, column: str) -> Iterator[tuple[int, bytes | None]]:
    """(row from 1, its text as UTF-8 that nobody has checked yet, or None for null) of every row, in order.

    Raises:
        UserError: pyarrow is not installed.
        DataError: the file is no Parquet file or damaged, or has no such text column.
    """
    try:
        import pyarrow
    except ImportError:
        raise UserError(f"{path}: reading Parquet needs pyarrow; try: pip install pyarrow") from None
    _check_ends(file, path)
    try:
        yield from _read(file, path, column)
    # what bytes of a stranger raise beside Arrow's own: LookupError and TypeError come from pyarrow's Python layer
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        says = str(error).strip().split("\n")[0]
        raise DataError(f"{path}: a damaged Parquet file ({says!r:.200}); copy or download it again") from None


def _read(file: BinaryIO, path: Path, column: str) -> Iterator[tuple[int, bytes | None]]:
    import pyarrow.parquet

    # without pre_buffer and with a buffer, a page is in memory and not a whole row group
    parquet = pyarrow.parquet.ParquetFile(
        file, pre_buffer=False, buffer_size=READ_BYTES, page_checksum_verification=True
    )
    _check_column(parquet.schema_arrow, path, column)
    row = 0
    for batch in parquet.iter_batches(ROWS, columns=[column], use_threads=False):
        for value in _as_bytes(batch.column(column)):
            row += 1
            yield row, value.as_py()


def _as_bytes(values: Any) -> Any:
    """The same values as bytes: Arrow promises no valid UTF-8 in what it read, and its own decoding names no place."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if types.is_large_string(values.type):
        return values.cast(pyarrow.large_binary())
    return values.cast(pyarrow.binary_view() if types.is_string_view(values.type) else pyarrow.binary())


def _check_ends(file: BinaryIO, path: Path) -> None:
    head = file.read(4)
    size = file.seek(0, 2)
    file.seek(max(0, size - 4))
    foot = file.read(4)
    file.seek(0)
    if head != MAGIC:
        raise DataError(f"{path}: is not a Parquet file (it does not begin with PAR1); rename it if it is text")
    if foot != MAGIC or size < 12:
        raise DataError(
            f"{path}: ends without Parquet's last bytes (PAR1): it was cut short; copy or download it again"
        )


def _check_column(schema: Any, path: Path, column: str) -> None:
    from pyarrow import types

    def is_text(kind: Any) -> bool:
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))

    named = [field for field in schema if field.name == column]
    if len(named) == 1 and is_text(named[0].type):
        return
    text = ", ".join(repr(field.name)[:60] for field in list(schema)[:SHOWN] if is_text(field.type))
    other = ", ".join(repr(field.name)[:60] for field in list(schema)[:SHOWN] if not is_text(field.type))
    says = (
        "has no column" if not named else "has no one text column" if len(named) > 1 else "holds no text in its column"
    )
    kind = f" ({str(named[0].type)!r:.60})" if len(named) == 1 else ""
    raise DataError(
        f"{path}: {says} {column!r}{kind}; text columns: {text or 'none'}; others: {other or 'none'}; "
        f"--text_key NAME chooses one"
    )
