"""Byte-pair encoding by a table of ranks: what GPT-2's, OpenAI's later and our own vocabularies have in common.

Run by ``gigatoken``, tens of times faster than ``tiktoken`` on one core (docs/adr/0009); tests hold the ids equal to
tiktoken's and to Hugging Face's. The two tell letters from other characters by different versions of Unicode, so a character
that came with the newest one may be cut differently.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill.data.tokenizers.base import END_OF_TEXT, join, look_up, valid

if TYPE_CHECKING:
    import numpy as np


class RankedTokenizer:
    """Ids are ranks: of two neighbours that could be joined, those with the lower joint rank are joined first.

    Args:
        pieces: id -> bytes, in order; ids that are not used are empty.
        split: how text is cut before anything is joined: 'gpt2', 'cl100k' or 'o200k'.
        end_of_text: an id that no text has; it may lie beyond the pieces.
        vocab_size: every id is below it.
    """

    end_of_text: int | None

    def __init__(self, name: str, pieces: Sequence[bytes], split: str, end_of_text: int, vocab_size: int) -> None:
        self.name = name
        self.end_of_text = end_of_text
        self.vocab_size = vocab_size
        self._split = split
        self._pieces = [*pieces] + [b""] * (vocab_size - len(pieces))
        self._pieces[end_of_text] = END_OF_TEXT.encode()

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._encoder.encode(valid(text)).tolist()
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self._encoder.encode(valid(text)) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        return join(self._pieces, ids)

    def piece(self, token: int) -> bytes:
        return look_up(self._pieces, token)

    @cached_property
    def _encoder(self) -> Any:  # made when the first text comes: training on ids and decoding do not need it
        from gigatoken import Tokenizer

        ranks = (
            base64.b64encode(piece) + b" %d\n" % rank
            for rank, piece in enumerate(self._pieces)
            if piece and rank != self.end_of_text
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ranks"
            path.write_bytes(b"".join(ranks))
            return Tokenizer.from_tiktoken(path, self._split)
