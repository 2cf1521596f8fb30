"""Is this batch what training expects? Cheap enough to look at every one. Ids out of range are found where they are read.

Legend: B sequences, S = block_size + 1 tokens of a window, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from gptmill.plan.types import Plan
from gptmill.train.spikes import WINDOW, robust_z

REMEMBERED = 4096  # batches; a loader that is stuck or goes round repeats much sooner
REPEATED = 4  # sequences in a row, all seen before: one or two may be a licence text that stands twice in the corpus
CONSTANT = 0.95  # of a window's tokens equal their neighbour: zeros, padding
CONSTANT_WINDOWS = 4  # among the last RECENT_WINDOWS; a corpus may hold a table of zeros
RECENT_WINDOWS = 256
UNUSUAL = 16.0  # robust deviations above the usual surprise of a batch's tokens
UNUSUAL_NATS = 1.5  # ... and at least this much: random ids cost 2 nats a token more than text, and above


@dataclass(frozen=True)
class BatchFinding:
    kind: str
    says: str
    sequences: tuple[int, int]


class BatchChecks:
    """Looks at every micro-batch of this process in the order read.

    duplicate_batch: its sequences were all read before, under other numbers. bad_shard: windows of one repeated token,
    or tokens whose frequencies are far from those of the batches so far.
    """

    def __init__(self, plan: Plan) -> None:
        # a corpus of a few batches is read over and over: seeing it again means nothing
        self._small = (plan.windows_per_epoch or 0) < 8 * plan.effective_batch_size
        self._first_seen: OrderedDict[bytes, int] = OrderedDict()
        self._repeated = 0
        self._constant: list[int] = []  # numbers of the windows that were
        self._count_V = np.zeros(plan.shape.vocab_size, dtype=np.int64)
        self._surprise_V = np.zeros(0)
        self._surprises: list[float] = []
        self._looked = 0

    def look(self, first: int, tokens_BS: np.ndarray) -> list[BatchFinding]:
        """What is wrong with the sequences from ``first`` on; each finding is made as often as it is true."""
        last = first + len(tokens_BS) - 1
        says = [
            *self._duplicate(first, tokens_BS),
            *self._constant_windows(first, tokens_BS),
            *self._unusual(tokens_BS),
        ]
        self._looked += 1
        return [
            BatchFinding(kind, f"{what} (training sequences {first} to {last})", (first, last)) for kind, what in says
        ]

    def _duplicate(self, first: int, tokens_BS: np.ndarray) -> list[tuple[str, str]]:
        digest = hashlib.blake2b(np.ascontiguousarray(tokens_BS).data, digest_size=16).digest()
        seen = self._first_seen.setdefault(digest, first)
        if len(self._first_seen) > REMEMBERED:
            self._first_seen.popitem(last=False)
        self._repeated = self._repeated + len(tokens_BS) if seen != first else 0
        if self._small or self._repeated < REPEATED:
            return []
        return [("duplicate_batch", f"the batch was read before, as training sequences from {seen} on")]

    def _constant_windows(self, first: int, tokens_BS: np.ndarray) -> list[tuple[str, str]]:
        same_B = (tokens_BS[:, 1:] == tokens_BS[:, :-1]).mean(axis=1) > CONSTANT
        found = (np.flatnonzero(same_B) + first).tolist()
        oldest = first + len(tokens_BS) - RECENT_WINDOWS
        self._constant = [number for number in self._constant if number >= oldest] + found
        if not found or len(self._constant) < CONSTANT_WINDOWS:
            return []
        return [
            ("bad_shard", f"{len(self._constant)} of the last {RECENT_WINDOWS} windows are one token over and over")
        ]

    def _unusual(self, tokens_BS: np.ndarray) -> list[tuple[str, str]]:
        """Mean surprise of the batch's tokens [nats], each taken by its frequency in the run so far."""
        self._count_V += np.bincount(tokens_BS.ravel(), minlength=len(self._count_V))[: len(self._count_V)]
        if self._looked & (self._looked - 1) == 0:  # 0, 1, 2, 4, 8, ...: frequencies change ever more slowly
            self._surprise_V = -np.log((self._count_V + 1) / (self._count_V.sum() + len(self._count_V)))
        surprise = float(self._surprise_V[tokens_BS].mean())
        usual, z = robust_z(surprise, self._surprises)
        self._surprises = [*self._surprises, surprise][-WINDOW:]
        if z < UNUSUAL or surprise - usual < UNUSUAL_NATS:
            return []
        return [("bad_shard", f"tokens that are rare in this run: {surprise:.2f} nats a token, {usual:.2f} is usual")]
