"""What every tokenizer offers. A saved one is a folder: tokenizer.json says which kind, further files lie beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gptmill.errors import UserError
from gptmill.registry import Registry

if TYPE_CHECKING:
    import numpy as np

END_OF_TEXT = "<|endoftext|>"  # GPT-2's name; in text it is ordinary characters and never becomes the special id
UNKNOWN = "\ufffd".encode()  # what an id outside the vocabulary decodes to (a model's vocabulary may be padded)


class Tokenizer(Protocol):
    """Text to ids and back.

    Attributes:
        name: what meta.json records: 'char', 'byte', 'bpe-2048', 'gpt2'.
        vocab_size: every id is below it.
        end_of_text: the id between documents, or None when this tokenizer has none.
    """

    name: str
    vocab_size: int
    end_of_text: int | None

    def encode(self, text: str) -> list[int]:
        """Ids of a text; special tokens in it are taken literally."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, an integer array each."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Text of any ids whatever: what is not a character comes out as U+FFFD."""
        ...

    def piece(self, token: int) -> bytes:
        """What one id adds to the text, which may be part of a character: decode joins pieces and reads them as UTF-8."""
        ...

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and what it needs into an existing folder."""
        ...


class Kind(Protocol):
    """How the tokenizers of one kind come about.

    Attributes:
        reads: which texts ``trained`` wants to see: 'all', a 'sample', or 'nothing'.
    """

    reads: str

    def check(self, argument: str) -> None:
        """Raise UserError when what follows the kind's name makes no sense, before any text is read."""
        ...

    def trained(self, argument: str, texts: Iterable[str]) -> Tokenizer:
        """Make one, learned from texts; argument is what follows the kind's name: '2048' in 'bpe-2048'."""
        ...

    def loaded(self, folder: Path, body: dict[str, object]) -> Tokenizer:
        """Read one; body is tokenizer.json. Raises ValueError or KeyError for anything that does not fit."""
        ...


TOKENIZERS: Registry[Kind] = Registry("tokenizer")


def join(pieces: Sequence[bytes], ids: Iterable[int]) -> str:
    """Decode ids by a table of byte strings."""
    return b"".join(look_up(pieces, i) for i in map(int, ids)).decode("utf-8", "replace")


def look_up(pieces: Sequence[bytes], token: int) -> bytes:
    """One id's byte string."""
    return pieces[token] if 0 <= token < len(pieces) else UNKNOWN


def no_argument(kind: str, argument: str) -> None:
    if argument:
        raise UserError(f"tokenizer={kind}-{argument}: {kind} takes no number; for a vocabulary of your own: bpe-4096")


def valid(text: str) -> str:
    """The text with lone surrogates (they come from JSON escapes and odd argv bytes) replaced: UTF-8 has no place for them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
