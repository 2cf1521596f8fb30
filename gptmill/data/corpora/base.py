"""What a named dataset has to say about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gptmill.data.remote.place import Place
from gptmill.data.sources import Source
from gptmill.registry import Registry


@dataclass(frozen=True)
class Corpus:
    """A dataset known by name.

    Args:
        source: where its text comes from and under which licence, for people.
        val_fraction: None where the dataset has a validation text of its own.
        open: finds the text, downloading what is missing; the number is ``max_samples``, for a text without documents.
        on_demand: small enough to be fetched by ``train`` itself.
        vocab_size: of ``tokenizer``, where the text decides it and is always the same; else None.
    """

    source: str
    tokenizer: str
    val_fraction: float | None
    open: Callable[[Place, int | None], Source]
    on_demand: bool = False
    vocab_size: int | None = None


CORPORA: Registry[Corpus] = Registry("dataset")
