"""What a named dataset has to say about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gptmill.data.texts import TextFiles
from gptmill.registry import Registry


@dataclass(frozen=True)
class Corpus:
    """A dataset known by name.

    Args:
        source: where its text comes from and under which licence, for people.
        open: finds the text; called only when preparing.
    """

    source: str
    tokenizer: str
    val_fraction: float
    open: Callable[[], TextFiles]


CORPORA: Registry[Corpus] = Registry("dataset")
