"""The loss of a model on a text, and what it is per byte of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptmill.cli.bar import Bar
from gptmill.cli.device import autocast
from gptmill.cli.evaluating.texts import Text
from gptmill.data.tokenizers import Tokenizer
from gptmill.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from gptmill.model.gpt import GPT

LN2 = math.log(2)


@dataclass
class Found:
    """
    Args:
        nats: summed over the tokens that count.
        tokens: that were foreseen and count.
        read: tokens that were foreseen, those of prompts included.
        n_bytes: of the tokens that count.
    """

    nats: float = 0.0
    tokens: int = 0
    read: int = 0
    n_bytes: int = 0
    parts: int = 0
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """[nats/token]"""
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float | None:
        """None for a text without bytes."""
        return self.nats / LN2 / self.n_bytes if self.n_bytes else None


def measure(
    model: GPT, text: Text, tokenizer: Tokenizer, *, stride: int, device: str, dtype: str, max_tokens: int | None
) -> Found:
    """Foresee every token of a text once.

    Raises:
        DataError: an id that the model or its tokenizer does not know; nothing to foresee.
    """
    from gptmill.model.scoring import score
    from gptmill.targets import ids_of

    lengths = piece_bytes(tokenizer)
    known = min(model.shape.vocab_size, len(lengths))
    found, began = Found(), time.perf_counter()
    total = text.n_tokens if max_tokens is None else min(max_tokens, text.n_tokens or max_tokens)
    with autocast(device, dtype), Bar("tokens") as bar:

        def progress(scored: int) -> None:
            found.read += scored
            bar.move(text.name, found.read, total)

        for part in text.parts:
            part = part if max_tokens is None else part[: max_tokens - found.read + 1]
            if len(part) < 2:
                continue
            if (largest := int(ids_of(part).max())) >= known:
                raise DataError(
                    f"{text.name}: token {largest} is not one of the {known:,} that the run's tokenizer knows"
                )
            found.nats += score(model, part, stride, device, progress)
            counted = part[1:][part[1:] >= 0]
            found.tokens += len(counted)
            found.n_bytes += int(lengths[counted].sum())
            found.parts += 1
    found.seconds = time.perf_counter() - began
    if not found.tokens:
        raise DataError(f"{text.name}: has no token to foresee; name a longer text")
    return found


def piece_bytes(tokenizer: Tokenizer) -> np.ndarray:
    """Bytes of text that each id stands for; none for an end of text [vocab_size]."""
    import numpy as np

    lengths = np.array([len(tokenizer.piece(token)) for token in range(tokenizer.vocab_size)])
    if tokenizer.end_of_text is not None:
        lengths[tokenizer.end_of_text] = 0
    return lengths
