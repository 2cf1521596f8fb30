"""Datasets gptmill knows by name: one file each, listed here."""

from __future__ import annotations

from gptmill.data.corpora import (  # noqa: F401  each joins CORPORA
    fineweb_edu,
    openwebtext,
    python_stdlib,
    shakespeare,
    slimpajama,
    wikitext,
)
from gptmill.data.corpora.base import CORPORA, Corpus

__all__ = ["CORPORA", "Corpus"]
