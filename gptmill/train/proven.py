"""The tensors of a checkpoint's file, each in memory of its own, and proven: what is used is what was hashed.

The safetensors library takes a whole file's bytes and makes a second copy of them; here whoever takes a tensor out can let go
of it before the next. What the file says of itself is believed no more than its lengths bear out. Torch is imported only
for tensors: a checkpoint is found good or damaged without it.

Source: the format, https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gptmill.errors import CheckpointError
from gptmill.train.manifest import Manifest, reading

if TYPE_CHECKING:
    from torch import Tensor

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
LARGEST_HEADER = 100_000_000  # bytes; the library's own limit


class Held(NamedTuple):
    """A tensor's bytes. Args: dtype: as safetensors names it."""

    dtype: str
    shape: tuple[int, ...]
    data: bytearray

    def tensor(self) -> Tensor:
        """On the same memory."""
        import torch

        from gptmill.train.tensorfile import DTYPES

        dtype = next(dtype for dtype, name in DTYPES.items() if name == self.dtype)
        if not self.data:
            return torch.empty(self.shape, dtype=dtype)
        return torch.frombuffer(self.data, dtype=dtype).reshape(self.shape)


def read_tensors(folder: Path, name: str, manifest: Manifest) -> dict[str, Held]:
    """All tensors of one file, as they lie in it.

    Raises:
        CheckpointError: the file is missing, damaged, or no safetensors.
    """
    path = folder / name
    held: dict[str, Held] = {}
    with reading(folder, name, manifest) as fill:
        left = manifest.files[name]["bytes"]
        for key, dtype, shape, n_bytes in _header(path, fill, left):
            data = bytearray(n_bytes)
            fill(data)
            held[key] = Held(dtype, shape, data)
    return held


def _header(path: Path, fill: Callable[[bytearray], None], n_bytes: int) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Name, dtype, shape and bytes of every tensor, in the order of the file, all of which they cover."""
    length = bytearray(8)
    fill(length)
    size = int.from_bytes(length, "little")
    if size > min(n_bytes - 8, LARGEST_HEADER):
        raise CheckpointError(f"{path}: damaged: not safetensors: a header of {size:,} bytes")
    text = bytearray(size)
    fill(text)
    try:
        told: dict[str, Any] = dict(json.loads(text))
        told.pop("__metadata__", None)
        entries = sorted(((tuple(body["data_offsets"]), key, body) for key, body in told.items()), key=lambda e: e[:2])
        rows, end = [], 0
        for (begin, until), key, body in entries:
            if begin != end or not _is_whole(body, until - begin):
                raise ValueError(f"{key} does not lie where it says")
            end = until
            rows.append((key, body["dtype"], tuple(body["shape"]), until - begin))
        if end != n_bytes - 8 - size:
            raise ValueError("its tensors do not fill it")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: not safetensors: {error}") from None
    return rows


def _is_whole(body: Mapping[str, Any], n_bytes: int) -> bool:
    """Whether a tensor of this dtype and shape has so many bytes."""
    shape, dtype = body["shape"], body["dtype"]
    plain = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape) and type(n_bytes) is int
    return plain and dtype in ITEM_BYTES and math.prod(shape) * ITEM_BYTES[dtype] == n_bytes
