"""Small datasets for tests, written without the code under test where a test needs that."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gptmill.data.meta import Meta
from gptmill.data.prepare import PrepareReport, prepare
from gptmill.data.shards import SplitWriter, Tokens
from gptmill.data.texts import text_files


def counting(n_tokens: int) -> Tokens:
    """Token i is i: a window tells where it came from."""
    return Tokens(np.arange(n_tokens, dtype=np.uint32))


def bare(folder: Path, train: list[int], val: list[int]) -> Path:
    """nanoGPT's files: uint16, no header."""
    folder.mkdir(parents=True)
    np.array(train, dtype=np.uint16).tofile(folder / "train.bin")
    np.array(val, dtype=np.uint16).tofile(folder / "val.bin")
    return folder


def blocks(folder: Path, train: list[int], val: list[int], vocab_size: int, block_bytes: int, dtype: str) -> Meta:
    """A dataset with blocks small enough to have many."""
    folder.mkdir(parents=True)
    splits = []
    for name, ids in (("train", train), ("val", val)):
        with SplitWriter(folder / f"{name}.bin", dtype, vocab_size, block_bytes) as writer:
            for start in range(0, len(ids), 37):  # a length that no block is a multiple of
                writer.append(np.array(ids[start : start + 37]))
        splits.append(writer.finish())
    meta = Meta("byte", vocab_size, dtype, splits[0], splits[1], "toy", "0" * 64, block_bytes=block_bytes)
    (folder / "meta.json").write_text(meta.dumps())
    return meta


def prepared(tmp_path: Path, text: str, tokenizer: str = "byte", name: str = "toy", **options: object) -> PrepareReport:
    file = tmp_path / f"{name}.txt"
    file.write_bytes(text.encode())
    return prepare(text_files([file]), tmp_path / "data" / name, tokenizer, **options)  # type: ignore[arg-type]
