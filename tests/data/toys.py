"""Small datasets for tests, written without the code under test where a test needs that."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings

from gptmill.data.inputs import text_files
from gptmill.data.meta import Meta
from gptmill.data.prepare import PrepareReport, prepare
from gptmill.data.shards import SplitWriter
from gptmill.data.tokens import Tokens

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


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


def llmc_file(path: Path, ids: list[int], magic: int = 20240520, version: int = 1, count: int | None = None) -> Path:
    """llm.c's file as its data_common.py writes it: 256 int32 of header, then uint16 ids (uint32 in version 7)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack("<256i", magic, version, len(ids) if count is None else count, *[0] * 253)
    path.write_bytes(header + struct.pack(f"<{len(ids)}{'H' if version == 1 else 'I'}", *ids))
    return path
