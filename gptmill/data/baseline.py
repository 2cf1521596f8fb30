"""The score to beat: what is reached by knowing how often each token occurs, and nothing else."""

from __future__ import annotations

import numpy as np

from gptmill.data.batches import Windows
from gptmill.data.tokens import Tokens
from gptmill.shapes import ModelShape

SAMPLE = 2**20  # training tokens to count


def unigram_loss(train: Tokens, judged: np.ndarray, shape: ModelShape) -> float:
    """Loss on ``judged`` of a model that gives every token its share of the first million training tokens [nats/token].

    Of windows whose prompts are only read, the targets that count (``targets.py``).

    Every token of the vocabulary is counted once more than it was seen, so that a new one costs much and not everything.
    """
    windows = Windows(train, shape.block_size)
    first = np.arange(min(windows.n_windows, -(-SAMPLE // shape.block_size)))
    seen = windows.gather(first * shape.block_size)[:, 1:]
    return cross_entropy(seen[seen >= 0], judged[judged >= 0], shape.vocab_size)


def cross_entropy(seen: np.ndarray, judged: np.ndarray, vocab_size: int) -> float:
    """Of ``judged`` under the add-one frequencies of ``seen`` [nats/token]."""
    counts = np.bincount(seen.ravel(), minlength=vocab_size) + 1.0
    return float(-np.log(counts / counts.sum())[judged].mean())
