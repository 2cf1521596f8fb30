"""Text out of ids that come one at a time."""

from __future__ import annotations

import codecs

from gptmill.data.tokenizers.base import Tokenizer


class StreamDecoder:
    """Decodes token by token: what ``feed`` and ``close`` return, joined, is what ``decode`` makes of all ids at once.

    A token may end inside a character; its bytes wait until the character is whole, or known never to be.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """The characters that this token completes, often several, sometimes none."""
        return self._utf8.decode(self._tokenizer.piece(token))

    def close(self) -> str:
        """What is left when no token follows: U+FFFD for a character that was begun, else nothing."""
        return self._utf8.decode(b"", final=True)
