"""Which files are read: those that --input names and those in its folders, or a corpus's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from gptmill.data.texts import JSON_LINES, PARQUET, TextFiles
from gptmill.errors import UserError
from gptmill.plain import open_plain


def text_files(
    paths: list[Path], errors: str = "strict", text_key: str = "text", kind: type[TextFiles] | None = None
) -> TextFiles:
    """The documents of files and folders, in the order given; folders are walked in sorted order.

    In a folder, hidden files and files with a NUL in their first 8 KiB (git's mark of a binary) are left out and counted.

    Args:
        kind: how they are read; plain texts unless said otherwise.

    Raises:
        UserError: a path does not exist, or nothing is left to read.
    """
    problems = [f"--input {path}: no such file or folder" for path in paths if not (path.is_file() or path.is_dir())]
    if not paths or problems:
        raise UserError(*(problems or ["--input: name at least one file or folder"]))
    found: list[Path] = []
    skipped = 0
    for path in paths:
        if path.is_file():
            found.append(path)
            continue
        for inside in sorted(path.rglob("*"), key=lambda p: p.relative_to(path).as_posix()):
            if inside.is_file():
                hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.relative_to(path).parts)
                skipped += hidden or _is_binary(inside)
                found += [] if hidden or _is_binary(inside) else [inside]
    if not found:
        raise UserError(f"--input {paths[0]}: holds no text files")
    names = ", ".join(path.name for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
    files = [(path, str(index)) for index, path in enumerate(found)]
    size = sum(path.stat().st_size for path in found if not _has_rows(path))
    return (kind or TextFiles)(files, names, errors, skipped, text_key, size)


class Numbered(Iterable[tuple[Path, str]]):
    """Paths, which may be fetched only when they are reached, and their numbers as keys."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[tuple[Path, str]]:
        return ((path, str(number)) for number, path in enumerate(self._paths))


def numbered(paths: Iterable[Path], description: str = "") -> TextFiles:
    """The documents of a corpus's files, in that order."""
    return TextFiles(Numbered(paths), description)


def _has_rows(path: Path) -> bool:
    return path.name.endswith((PARQUET, *JSON_LINES))


def _is_binary(path: Path) -> bool:
    if _has_rows(path):
        return False
    try:
        with open_plain(path) as file:
            return b"\0" in file.read(8192)
    except OSError:
        return False  # reading it for real will say what is wrong
