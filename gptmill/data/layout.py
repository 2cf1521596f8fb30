"""Which files hold a split, and what their headers and sizes promise. Torch- and numpy-free.

data/NAME/train.bin, val.bin         ours with meta.json, nanoGPT's bare uint16, or llm.c's with its header
data/NAME/train.mask, val.mask       ours, where prompts are only read: which of those ids count as targets
data/NAME/ANY_train_000001.bin, ...  llm.c's shards: one stream of tokens over all files of a split, in order
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from gptmill.data import llmc
from gptmill.data.meta import ITEM_BYTES, MASK_DTYPE, SPLITS, Meta, read_meta
from gptmill.errors import DataError

HEAD_BYTES = 4096  # read at once: llm.c's header and the first tokens


@dataclass(frozen=True)
class TokenFile:
    """One file of ids.

    Args:
        offset: bytes before the first id.
        head_sha256: of its first HEAD_BYTES, where there is no better fingerprint.
    """

    path: Path
    tokens: int
    offset: int = 0
    head_sha256: str = ""


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split, in order.

    Args:
        meta: what meta.json says; None without one.
        flavour: what llm.c's headers say; None without them.
        mask: says of each id whether it counts as a target; None = all do.
    """

    files: tuple[TokenFile, ...]
    dtype: str
    meta: Meta | None = None
    flavour: llmc.Flavour | None = None
    mask: TokenFile | None = None

    @property
    def tokens(self) -> int:
        return sum(file.tokens for file in self.files)


def is_dataset(folder: Path) -> bool:
    """Some token files are there, or were promised; whether they are whole is another question."""
    return any((folder / name).exists() for name in ("meta.json", "train.bin")) or any(
        llmc.shard_paths(folder, split) for split in SPLITS
    )


def split_files(path: Path) -> SplitFiles:
    """What holds a split, every header compared with its file's size.

    Args:
        path: FOLDER/train.bin or FOLDER/val.bin; where there is no such file, llm.c's shards of that split are meant.

    Raises:
        DataError: missing, not a regular file, cut short, of odd size, or in a foreign format.
    """
    if path.name not in [f"{name}.bin" for name in SPLITS]:
        raise DataError(f"{path}: a dataset's token files are called train.bin and val.bin")
    meta = read_meta(path.parent)
    if meta is not None:
        split = meta.train if path.name == "train.bin" else meta.val
        mask = path.with_suffix(".mask")
        return SplitFiles(
            (_promised(path, split.tokens, meta.dtype),),
            meta.dtype,
            meta,
            mask=None if split.counted is None else _promised(mask, split.tokens, MASK_DTYPE),
        )
    shards = llmc.shard_paths(path.parent, path.stem)
    if shards and not path.exists():
        return _sharded(shards)
    return _single(path)


def _promised(path: Path, tokens: int, dtype: str) -> TokenFile:
    _, size = _head(path)
    promised = tokens * (1 if dtype == MASK_DTYPE else ITEM_BYTES[dtype])
    if size != promised:
        raise DataError(
            f"{path}: {size} bytes, but meta.json promises {promised} ({tokens} {dtype} tokens): "
            f"preparing was interrupted or the file was cut; prepare the dataset again with --overwrite"
        )
    return TokenFile(path, tokens)


def _single(path: Path) -> SplitFiles:
    head, size = _head(path)
    found = llmc.read_header(path, head[: llmc.HEADER_BYTES], size)
    if found:
        flavour, tokens = found
        file = TokenFile(path, tokens, llmc.HEADER_BYTES, hashlib.sha256(head).hexdigest())
        return SplitFiles((file,), flavour.dtype, flavour=flavour)
    if size % 2 or not size:
        raise DataError(
            f"{path}: {size} bytes without a meta.json is not a file of uint16 tokens (nanoGPT's format); "
            f"copy it again or prepare the text with gptmill prepare"
        )
    return SplitFiles((TokenFile(path, size // 2),), "uint16")


def _sharded(paths: list[Path]) -> SplitFiles:
    if len(prefixes := {llmc.prefix(path) for path in paths}) > 1:
        raise DataError(
            f"{paths[0].parent}: holds shards of {len(prefixes)} datasets ({', '.join(sorted(prefixes))}); "
            f"put each into a folder of its own"
        )
    files: list[TokenFile] = []
    flavours: list[llmc.Flavour] = []
    for path in paths:
        head, size = _head(path)
        found = llmc.read_header(path, head[: llmc.HEADER_BYTES], size)
        if found is None:
            raise DataError(
                f"{path}: does not begin with llm.c's header, so it is not a shard of this dataset; "
                f"remove it, or name nanoGPT's files train.bin and val.bin"
            )
        flavours.append(found[0])
        files.append(TokenFile(path, found[1], llmc.HEADER_BYTES, hashlib.sha256(head).hexdigest()))
    for path, flavour in zip(paths, flavours):
        if flavour != flavours[0]:
            raise DataError(
                f"{path}: holds {flavour.tokenizer} tokens, but {paths[0].name} beside it {flavours[0].tokenizer} ones; "
                f"keep one kind in a folder"
            )
    return SplitFiles(tuple(files), flavours[0].dtype, flavour=flavours[0])


def _head(path: Path) -> tuple[bytes, int]:
    """The first HEAD_BYTES, and the size of the whole file [bytes]."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            raise DataError(f"{path}: is not a regular file")
        with path.open("rb") as file:
            return file.read(HEAD_BYTES), found.st_size
    except FileNotFoundError:
        raise DataError(f"{path}: missing; {_way_out(path)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _way_out(path: Path) -> str:
    other = next(split for split in SPLITS if split != path.stem)
    if beside := llmc.shard_paths(path.parent, other):
        name = beside[0].name
        return (
            f"beside {name} lies no file named like it with _{path.stem}; download that too, "
            f"or rename a shard ..._{path.stem}_000000.bin"
        )
    return "prepare the dataset again (gptmill prepare ... --overwrite)"
