"""Ways in which files go bad on a disk. Each takes a file's bytes and gives other ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

PAGE = 4096
Harm = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, rng: random.Random) -> bytes:
    """One bit, anywhere."""
    bit = rng.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def zero_page(data: bytes, rng: random.Random) -> bytes:
    """A page of 4 KiB that was never written; one that held something."""
    starts = [start for start in range(0, len(data), PAGE) if any(data[start : start + PAGE])]
    start = rng.choice(starts)
    page = data[start : start + PAGE]
    return data[:start] + bytes(len(page)) + data[start + PAGE :]


def edit(data: bytes, rng: random.Random) -> bytes:
    """JSON with one of its values changed, written as it was."""
    found = json.loads(data)
    holder, key = rng.choice(list(leaves(found)))
    holder[key] = other(holder[key], rng)
    return (json.dumps(found, sort_keys=True, indent=1) + "\n").encode()


def leaves(value: Any) -> list[tuple[Any, Any]]:
    """Every value of a JSON document that is no list or object, as (what holds it, its key or index)."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    return [leaf for key, held in items for leaf in (leaves(held) if isinstance(held, dict | list) else [(value, key)])]


def other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + rng.choice((-1, 1, 1000))
    return "".join(rng.sample(value, len(value))) + "0"


BYTES: dict[str, tuple[Harm, int]] = {  # of a file: how, and how often
    "bit flips": (flip, 1000),
    "truncations": (truncate, 200),
    "zeroed pages": (zero_page, 200),
}
