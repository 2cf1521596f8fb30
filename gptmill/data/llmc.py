"""llm.c's token files: a header of 256 int32 (magic, version, number of tokens, zeros), then the ids.

Its scripts write NAME_train.bin and NAME_val.bin, or large texts as shards NAME_train_000001.bin, NAME_train_000002.bin, ...

Source: karpathy/llm.c, ``dev/data/data_common.py`` (both flavours) and ``llmc/dataloader.h`` (what its reader checks).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gptmill.errors import DataError

HEADER_BYTES = 256 * 4
# names are printed, so one that would move the cursor is not taken for a shard
NAME = re.compile(r"(?P<prefix>[^\x00-\x1f\x7f]*)_(?P<split>train|val)(?:_(?P<number>[0-9]+))?\.bin")


@dataclass(frozen=True)
class Flavour:
    """One kind of token file: the header says it, and with it the tokenizer."""

    tokenizer: str
    version: int
    dtype: str
    item_bytes: int
    vocab_size: int


FLAVOURS = {
    20240520: Flavour("gpt2", 1, "uint16", 2, 50_257),
    20240801: Flavour("llama-3", 7, "uint32", 4, 128_256),
}
QUESTIONS_MAGIC = 20240522  # HellaSwag and its like: uint16 as well, but questions with answers instead of text


def read_header(path: Path, head: bytes, size: int) -> tuple[Flavour, int] | None:
    """Flavour and number of tokens of a file, or None when it does not begin with a magic of llm.c.

    Args:
        head: the file's first HEADER_BYTES, fewer when it is shorter.
        size: of the whole file [bytes].

    Raises:
        DataError: the header is of llm.c, and cannot be true.
    """
    again = "copy or download it again"
    magic = int.from_bytes(head[:4], "little") if len(head) >= 4 else None
    if magic == QUESTIONS_MAGIC:
        raise DataError(f"{path}: holds llm.c's multiple-choice questions, not text; move it to another folder")
    if magic not in FLAVOURS:
        return None
    if len(head) < HEADER_BYTES:
        raise DataError(f"{path}: {size} bytes end inside llm.c's header of {HEADER_BYTES}; {again}")
    flavour = FLAVOURS[magic]
    version, tokens = struct.unpack_from("<2i", head, 4)
    if version != flavour.version:
        raise DataError(
            f"{path}: llm.c's header has version {version}, this program reads {flavour.version}; "
            f"write it again with llm.c's data scripts"
        )
    if tokens <= 0:
        raise DataError(f"{path}: llm.c's header promises {tokens} tokens, and no text has that many; {again}")
    promised = HEADER_BYTES + tokens * flavour.item_bytes
    if size != promised:
        raise DataError(
            f"{path}: {size} bytes, but llm.c's header promises {promised} ({tokens} {flavour.dtype} tokens): "
            f"it was cut short or changed; {again}"
        )
    return flavour, tokens


def shard_paths(folder: Path, split: str) -> list[Path]:
    """The files of a split in llm.c's layout, in the order of their text: by name, then by number."""
    found = []
    for name in _names(folder):
        if (match := NAME.fullmatch(name)) and match["split"] == split:
            found.append((match["prefix"], int(match["number"] or -1), name))
    return [folder / name for _, _, name in sorted(found)]


def prefix(path: Path) -> str:
    """What a shard's name begins with: the name of its dataset."""
    match = NAME.fullmatch(path.name)
    return match["prefix"] if match else path.name


def gaps(paths: list[Path]) -> list[str]:
    """Names of shards that the numbering says should be there: 000002 between 000001 and 000003."""
    missing = []
    for before, after in pairwise(paths):
        left, right = NAME.fullmatch(before.name), NAME.fullmatch(after.name)
        if not left or not right or left["prefix"] != right["prefix"] or not left["number"]:
            continue
        first, stop = int(left["number"]) + 1, int(right["number"])
        # a few names are enough: two numbers far apart must not make a list that fills the memory
        for number in range(first, min(stop, first + 3)):
            missing.append(f"{left['prefix']}_{left['split']}_{number:0{len(left['number'])}d}.bin")
    return missing


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []  # that there is no such folder is told by who needs a file of it
