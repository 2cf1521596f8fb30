"""One id per character, as nanoGPT's shakespeare_char: the sorted set of characters of the whole text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gptmill.data.tokenizers.base import TOKENIZERS, Tokenizer, join, look_up, no_argument, valid
from gptmill.errors import DataError, UserError

if TYPE_CHECKING:
    import numpy as np


class CharTokenizer:
    """Args: characters: the vocabulary, in order of its ids."""

    name = "char"
    end_of_text: int | None = None

    def __init__(self, characters: str) -> None:
        import numpy as np

        self.characters = characters
        self.vocab_size = len(characters)
        points = _code_points(characters)
        self._id_of = np.full(max(int(points.max(initial=0)) + 1, 1), -1, dtype=np.int32)  # [code point]
        self._id_of[points] = np.arange(len(points))
        self._pieces = [c.encode() for c in characters]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._ids(text).tolist()
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self._ids(text) for text in texts]

    def _ids(self, text: str) -> np.ndarray:
        points = _code_points(valid(text))
        inside = points < len(self._id_of)
        ids = self._id_of[points * inside]
        ids[~inside] = -1
        if (ids < 0).any():
            stranger = chr(int(points[ids < 0][0]))
            raise UserError(
                f"{stranger!a} (U+{ord(stranger):04X}) is not one of the {self.vocab_size} characters of this tokenizer; "
                f"leave it out, or prepare the data with a tokenizer that knows every text: byte, bpe-N or gpt2"
            )
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        return join(self._pieces, ids)

    def piece(self, token: int) -> bytes:
        return look_up(self._pieces, token)

    def save(self, folder: Path) -> None:
        body = {"kind": "char", "name": self.name, "characters": self.characters}
        (folder / "tokenizer.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


@TOKENIZERS.register("char")
class CharKind:
    reads = "all"

    @staticmethod
    def check(argument: str) -> None:
        no_argument("char", argument)

    @staticmethod
    def trained(argument: str, texts: Iterable[str]) -> Tokenizer:
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        if not characters:
            raise DataError("tokenizer=char: there is no text to take characters from")
        return CharTokenizer("".join(sorted(characters)))

    @staticmethod
    def loaded(folder: Path, body: dict[str, object]) -> Tokenizer:
        characters = body["characters"]
        if not isinstance(characters, str) or not characters or len(set(characters)) != len(characters):
            raise ValueError("characters must be a text in which nothing repeats")
        return CharTokenizer(valid(characters))


def _code_points(text: str) -> np.ndarray:
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
