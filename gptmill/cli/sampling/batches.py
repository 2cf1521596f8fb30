"""Samples of one prompt in batches that fit into memory, and how fast they came.

Legend: B sequences of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptmill.cli.sampling.request import Request
from gptmill.data.tokenizers import Tokenizer
from gptmill.shapes import ModelShape

if TYPE_CHECKING:
    from gptmill.model.gpt import GPT

BUDGET = 2**30  # bytes that the sequences of one batch may take together, besides the weights


@dataclass(frozen=True)
class Batch:
    """
    Args:
        steps: one new token per sequence at a time, None once it has ended; each step is computed when it is asked for.
        end: the id that is a sample's last, and no text; None = each has all its tokens.
    """

    n_samples: int
    steps: Iterator[list[int | None]]
    end: int | None


@dataclass
class Speed:
    """New tokens and the seconds that making them took; showing them is not counted."""

    tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float | None:
        """None as long as there are no tokens."""
        return self.tokens / self.seconds if self.tokens else None

    def __add__(self, other: Speed) -> Speed:
        return Speed(self.tokens + other.tokens, self.seconds + other.seconds)

    def __str__(self) -> str:
        rate = self.tokens_per_second
        if rate is None:
            return "no new tokens"
        number = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
        return f"{self.tokens:,} {'token' if self.tokens == 1 else 'tokens'} in {self.seconds:.2f} s: {number} tokens/s"


def sequence_bytes(shape: ModelShape, n_tokens: int) -> int:
    """Memory of one sequence while it is generated [bytes], at four bytes a number: an upper estimate.

    Keys and values of the whole context, the widest activations of one layer that reads it at once (with attention
    scores, which the fused kernel spares), the distribution over the vocabulary while it is sorted, and the ids.
    """
    context, numbers = shape.block_size, 4
    cache = 2 * shape.n_layer * context * shape.kv_dim
    scores = 0 if shape.attention_backend == "sdpa" else 3 * shape.n_head * context
    window = context * (6 * shape.n_embd + 3 * shape.ffn_dim + scores)
    distribution = 10 * shape.vocab_size
    return numbers * (cache + window + distribution) + 16 * n_tokens


def generate_batches(
    model: GPT, ids: list[int], request: Request, tokenizer: Tokenizer, speed: Speed
) -> Iterator[Batch]:
    """The samples of one prompt. Sample k is drawn by its number, whichever batch it falls into.

    Args:
        ids: what every sample starts from; the last block_size of them are read.
        speed: grows with each step.
    """
    from gptmill.model.generate import generate

    ids = ids[-model.shape.block_size :]
    end = tokenizer.end_of_text if request.stop else None
    largest = max(1, BUDGET // sequence_bytes(model.shape, len(ids) + request.max_new_tokens))
    for first in range(0, request.num_samples, largest):
        B = min(largest, request.num_samples - first)
        steps = generate(
            model,
            [ids] * B,
            request.max_new_tokens,
            seed=request.seed,
            first=first,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            repetition_penalty=request.repetition_penalty,
            vocab_size=tokenizer.vocab_size,
            end=end,
        )
        yield Batch(B, _timed(steps, speed), end)


def _timed(steps: Iterator[list[int | None]], speed: Speed) -> Iterator[list[int | None]]:
    while True:
        began = time.perf_counter()
        tokens_B = next(steps, None)
        speed.seconds += time.perf_counter() - began
        if tokens_B is None:
            return
        speed.tokens += sum(token is not None for token in tokens_B)
        yield tokens_B
