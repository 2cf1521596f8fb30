"""One id per UTF-8 byte, plus end-of-text: no training, no file, every text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gptmill.data.tokenizers.base import END_OF_TEXT, TOKENIZERS, Tokenizer, join, look_up, no_argument, valid

if TYPE_CHECKING:
    import numpy as np

PIECES = [*(bytes([b]) for b in range(256)), END_OF_TEXT.encode()]


class ByteTokenizer:
    name = "byte"
    vocab_size = 257
    end_of_text: int | None = 256

    def encode(self, text: str) -> list[int]:
        return list(valid(text).encode())

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        import numpy as np

        return [np.frombuffer(valid(text).encode(), dtype=np.uint8) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        return join(PIECES, ids)

    def piece(self, token: int) -> bytes:
        return look_up(PIECES, token)

    def save(self, folder: Path) -> None:
        body = {"kind": "byte", "name": self.name}
        (folder / "tokenizer.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


@TOKENIZERS.register("byte")
class ByteKind:
    reads = "nothing"

    @staticmethod
    def check(argument: str) -> None:
        no_argument("byte", argument)

    @staticmethod
    def trained(argument: str, texts: Iterable[str]) -> Tokenizer:
        return ByteTokenizer()

    @staticmethod
    def loaded(folder: Path, body: dict[str, object]) -> Tokenizer:
        return ByteTokenizer()
