"""How well a model foresees a text: every token scored once, with as much text before it as the stride leaves.

Legend: B windows of a batch, T block_size, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from gptmill.model.gpt import GPT
from gptmill.targets import IGNORE, inputs_and_targets

BATCH_TOKENS = 8192  # read at once


class Window(NamedTuple):
    """Tokens ``begin : begin + T`` are read; of the T that follow each of them, the last ``scored`` count."""

    begin: int
    scored: int


def windows(n_tokens: int, block_size: int, stride: int) -> Iterator[Window]:
    """Windows that score each token but the first exactly once.

    The first scores all it can; each further one moves on by ``stride`` and scores as many new tokens, so that these have
    at least block_size - stride tokens before them.
    """
    done = 0  # tokens scored: those at 1 .. done
    begin = 0
    while done < n_tokens - 1:
        end = min(begin + block_size, n_tokens - 1)
        yield Window(begin, end - done)
        done = end
        begin += stride


@torch.no_grad()
def score(
    model: GPT, ids: np.ndarray, stride: int, device: str, progress: Callable[[int], None] = lambda _: None
) -> float:
    """Sum of -log p(token | those before it) over all tokens that count but the first [nats].

    Args:
        ids: of one text, in order; integers, ~id where a token is only read (``targets.py``).
        progress: called with the number of tokens scored, from time to time.
    """
    model.eval()
    T = model.shape.block_size
    nats = 0.0
    batch: list[Window] = []
    for window in windows(len(ids), T, stride):
        whole = len(ids) - window.begin > T
        if whole:
            batch.append(window)
        if batch and (not whole or len(batch) * T >= BATCH_TOKENS):
            nats += _score(model, ids, batch, T, device)
            progress(sum(each.scored for each in batch))
            batch = []
        if not whole:
            nats += _score(model, ids, [window], len(ids) - 1 - window.begin, device)
            progress(window.scored)
    if batch:
        nats += _score(model, ids, batch, T, device)
        progress(sum(each.scored for each in batch))
    return nats


def _score(model: GPT, ids: np.ndarray, batch: list[Window], T: int, device: str) -> float:
    read_BS = np.stack([ids[window.begin : window.begin + T + 1] for window in batch]).astype(np.int64)
    ids_BT, targets_BT = inputs_and_targets(read_BS)
    for row_T, window in zip(targets_BT, batch):
        row_T[: T - window.scored] = IGNORE
    counted = int((targets_BT != IGNORE).sum())
    return float(model(*torch.from_numpy(np.stack((ids_BT, targets_BT))).to(device)).double()) * counted


def perplexity(nats_per_token: float) -> float | None:
    """exp of the loss; None where that is no number any more."""
    return math.exp(nats_per_token) if nats_per_token < 700 else None
