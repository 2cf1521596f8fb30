"""Randomness as pure functions of integers: no generator, no history, the same on every machine and at any world size."""

from __future__ import annotations

import numpy as np


def splitmix64(x: np.ndarray) -> np.ndarray:
    """Scramble uint64 values one by one; close inputs give unrelated outputs.

    Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"; S. Vigna's splitmix64.c.
    """
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def sequence_keys(seed: int, stream: int, first: int, count: int) -> np.ndarray:
    """uint64 [count]: one key for each of ``count`` consecutive items of a numbered stream.

    Args:
        stream: a small number that keeps independent uses of one seed apart.
        first: index of the first item.
    """
    origin = splitmix64(splitmix64(np.array([seed], dtype=np.uint64)) ^ np.uint64(stream))
    return splitmix64(origin + np.arange(first, first + count, dtype=np.uint64))
