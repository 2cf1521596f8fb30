"""Validation text that is also training text: found by looking up windows of the one in the other, token for token.

A window begins where its first tokens say so (their hash is a small one), so those of both texts that are equal begin at
the same words wherever these stand, and most of the training tokens cost a few additions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gptmill.data.tokens import Tokens

WINDOW = 64  # tokens that must be equal
BEGINS = np.uint32(2**32 // 16)  # below it is the hash of two tokens with which a window begins: one in 16
HEAD = 8  # tokens by whose hash most windows of training are told apart ...
SIEVE = np.uint32(2**20 - 1)  # ... in so many bits of it
SAMPLED = 4096  # windows of validation at most
DISTINCT = 8  # different tokens that a window has at least: rules and blank lines are in every text
MOST = 2**24  # tokens of each split that are looked at, in parts evenly spread: a tenth of a second
PART = 2**16  # tokens, whose arrays stay in the processor's cache
AT_ONCE = 2**11  # windows whose tokens are in memory: in a text of one character all of them begin
FEWEST = 4  # windows in both, below which it may be chance
WORTH_SAYING = 0.2  # of the windows; of a program's files a sixth may be, for many are copies with a few changes
# odd, with bits of both kinds all over: multiplicative hashing, Knuth, The Art of Computer Programming 3, 6.4
MIX, STEP = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)
POWERS = np.array([pow(0x9E3779B97F4A7C15, n, 2**64) for n in range(WINDOW)], np.uint64)


@dataclass(frozen=True)
class Overlap:
    """
    Args:
        windows: of validation that were looked for; found: those that are in training.
        looked_at: share of the training tokens.
    """

    windows: int
    found: int
    looked_at: float

    @property
    def share(self) -> float:
        """Of validation that is in all of training, as far as the sample tells."""
        return min(1.0, self.found / (self.windows * self.looked_at)) if self.found >= FEWEST else 0.0

    def notice(self) -> str | None:
        """A sentence for a person, where it is worth one."""
        if self.share <= WORTH_SAYING:
            return None
        part = "" if self.looked_at == 1 else f"the {100 * self.looked_at:.2g}% looked at of "
        estimate = "" if self.looked_at == 1 else f" (so about {self.share:.0%} of all)"
        return (
            f"{self.found:,} of {self.windows:,} sampled validation windows of {WINDOW} tokens also occur in {part}the "
            f"training text{estimate}: the validation loss will flatter; take out what is in both, or choose another text"
        )


def overlap(train: Tokens, val: Tokens, most: int = MOST) -> Overlap:
    """Look for windows of validation in training.

    Args:
        most: tokens of each that are looked at.
    """
    hashes, heads = _sample(val, most)
    if not len(hashes):
        return Overlap(0, 0, 1.0)
    known = np.zeros(int(SIEVE) + 1, bool)
    known[heads & SIEVE] = True
    found = np.zeros(len(hashes), bool)
    for ids in _parts(train, most):
        begins, their_heads = _begins(ids)
        theirs = _hashes(ids, begins[known[their_heads & SIEVE]])
        nearest = np.searchsorted(hashes, theirs).clip(max=len(hashes) - 1)
        found[nearest[hashes[nearest] == theirs]] = True
        if found.all():
            break
    return Overlap(len(hashes), int(found.sum()), min(1.0, most / len(train)))


def _sample(val: Tokens, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of windows [n], uint64 and ascending, and of their heads [n], uint32; from all over, each once."""
    hashes, heads = [np.array([], np.uint64)], [np.array([], np.uint32)]
    each = 4 * SAMPLED // -(-min(len(val), most) // PART)  # of a part: some are left out below
    for ids in _parts(val, most):
        begins, theirs = (_evenly(found, each) for found in _begins(ids))
        ordered = np.sort(np.lib.stride_tricks.sliding_window_view(ids, WINDOW)[begins], axis=1)
        telling = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) + 1 >= DISTINCT
        hashes.append(_hashes(ids, begins[telling]))
        heads.append(theirs[telling])
    # in the order of their hashes, which has nothing to do with places or words
    different, first = np.unique(np.concatenate(hashes), return_index=True)
    return _evenly(different, SAMPLED), np.concatenate(heads)[_evenly(first, SAMPLED)]


def _evenly(array: np.ndarray, most: int) -> np.ndarray:
    """So many of its elements at most, evenly spread."""
    return array[np.linspace(0, len(array) - 1, most).astype(int)] if len(array) > most else array


def _parts(tokens: Tokens, most: int) -> Iterator[np.ndarray]:
    """Ids [at most PART], uint32, that hold every window, or of a long text an even choice of parts."""
    length = min(PART, len(tokens))
    if length < WINDOW:
        return
    starts = np.arange(0, len(tokens) - WINDOW + 1, length - WINDOW + 1)
    starts = np.unique(np.minimum(starts, len(tokens) - length))
    windows = tokens.windows(length)
    for start in _evenly(starts, max(1, most // length)):
        yield windows[np.array([start])][0].astype(np.uint32)


def _begins(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where windows begin [n], as two tokens there say, and the hash of their heads [n]."""
    last = len(ids) - WINDOW + 1
    spread = ids[: last + 1] * MIX
    pairs = spread[:-1] * STEP
    pairs += spread[1:]
    begins = np.flatnonzero(pairs < BEGINS)
    heads: np.ndarray = pairs[begins]
    for n in range(2, HEAD):
        heads = heads * STEP + ids[begins + n] * MIX
    return begins, heads


def _hashes(ids: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Of the windows that begin there [len(begins)]: 64 bits, so that two different ones are never met with the same."""
    windows = np.lib.stride_tricks.sliding_window_view(ids, WINDOW)
    found = np.empty(len(begins), np.uint64)
    for first in range(0, len(begins), AT_ONCE):
        mixed = windows[begins[first : first + AT_ONCE]] * POWERS
        mixed ^= mixed >> np.uint64(29)
        found[first : first + AT_ONCE] = (mixed * POWERS[1]).sum(axis=1, dtype=np.uint64)
    return found
