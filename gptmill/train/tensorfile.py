"""Write a safetensors file tensor by tensor, hashing on the way.

The safetensors library builds the whole file in memory first, twice, and holds Python's lock meanwhile; training would
wait for it (docs/adr/0012). It reads what is written here: that is how checkpoints are loaded.

Source: the format, https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gptmill import durable

PIECE = 2**26  # bytes written at a time
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> dict[str, Any]:
    """Write a new file and wait until the disk has it; its size and SHA-256, as a manifest has them.

    Args:
        metadata: told in the file's header.

    Raises:
        OSError: the disk refuses.
    """
    digest, size = hashlib.sha256(), 0

    def hashed() -> Iterator[bytes | memoryview]:
        nonlocal size
        for piece in _pieces(tensors, metadata):
            digest.update(piece)
            size += len(piece)
            yield piece

    durable.create_from(path, hashed())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _pieces(tensors: dict[str, Tensor], metadata: dict[str, str] | None) -> Iterator[bytes | memoryview]:
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # data begins at a multiple of 8
    yield len(text).to_bytes(8, "little") + text
    for tensor in tensors.values():
        data = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))
