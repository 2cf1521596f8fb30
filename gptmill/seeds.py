"""Randomness as pure functions of integers: no generator, no history, the same on every machine and at any world size."""

from __future__ import annotations

import hashlib

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def stream_key(*parts: str | int) -> int:
    """64 bits that depend on every part and on nothing else: not on the process, the platform or the numpy version."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "little")


def splitmix64(key: int, index: np.ndarray) -> np.ndarray:
    """One 64-bit hash per index; distinct indices give distinct hashes, so sorting by them has no ties.

    Args:
        index: uint64 [n].

    Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators" (constants of Stafford's mix 13).
    """
    z = index * GOLDEN + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
