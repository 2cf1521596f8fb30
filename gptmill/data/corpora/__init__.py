"""Datasets gptmill knows by name: one file each, listed here."""

from __future__ import annotations

from gptmill.data.corpora import python_stdlib
from gptmill.data.corpora.base import CORPORA, Corpus

__all__ = ["CORPORA", "Corpus", "python_stdlib"]
