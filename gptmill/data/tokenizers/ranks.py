"""OpenAI's later vocabularies: cl100k_base (GPT-4) and o200k_base (GPT-4o), each one published file of pieces by rank.

Ids go beyond 65,535, so their token files are uint32.
Source of special ids, addresses and SHA-256: the definitions in tiktoken's ``tiktoken_ext.openai_public``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gptmill.data.remote.files import Offline, RemoteFile
from gptmill.data.tokenizers.base import TOKENIZERS, Tokenizer, no_argument
from gptmill.data.tokenizers.ranked import RankedTokenizer
from gptmill.errors import DataError
from gptmill.plain import read_plain

ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/"


@dataclass(frozen=True)
class Published:
    """Args: vocab_size: one more than the largest special id; some ids below it are not used."""

    file: RemoteFile
    end_of_text: int
    vocab_size: int


PUBLISHED = {
    "cl100k": Published(
        RemoteFile(
            f"{ADDRESS}cl100k_base.tiktoken",
            "cl100k_base.tiktoken",
            sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        ),
        end_of_text=100_257,
        vocab_size=100_277,
    ),
    "o200k": Published(
        RemoteFile(
            f"{ADDRESS}o200k_base.tiktoken",
            "o200k_base.tiktoken",
            sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        ),
        end_of_text=199_999,
        vocab_size=200_019,
    ),
}


class RanksTokenizer(RankedTokenizer):
    """Args: raw: the published file: a line has a piece in base64 and its id."""

    def __init__(self, name: str, raw: bytes) -> None:
        published = PUBLISHED[name]
        pieces = [b""] * published.vocab_size
        for line in raw.splitlines():
            piece, rank = line.split()
            pieces[int(rank)] = base64.b64decode(piece)
        super().__init__(name, pieces, name, published.end_of_text, published.vocab_size)
        self._raw = raw

    def save(self, folder: Path) -> None:
        (folder / PUBLISHED[self.name].file.name).write_bytes(self._raw)
        body = {"kind": self.name, "name": self.name}
        (folder / "tokenizer.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


class RanksKind:
    """Args: name: of one of PUBLISHED."""

    reads = "nothing"

    def __init__(self, name: str) -> None:
        self._name = name

    def check(self, argument: str) -> None:
        no_argument(self._name, argument)

    def trained(self, argument: str, texts: Iterable[str]) -> Tokenizer:
        """The published vocabulary from the user's cache, downloaded there if it is missing."""
        from gptmill.data.remote.fetch import fetch
        from gptmill.data.tokenizers.gpt2 import cache_folder

        file = PUBLISHED[self._name].file
        folder = cache_folder().with_name(self._name)
        try:
            path = fetch(file, folder)
        except Offline as error:
            raise DataError(
                f"tokenizer={self._name}: no network ({error}); fetch {file.url} and put it there as {folder / file.name}, "
                f"or train a vocabulary here: --tokenizer bpe-4096"
            ) from None
        return _checked(self._name, read_plain(path), path)

    def loaded(self, folder: Path, body: dict[str, object]) -> Tokenizer:
        path = folder / PUBLISHED[self._name].file.name
        return _checked(self._name, read_plain(path), path)


def _checked(name: str, raw: bytes, path: Path) -> RanksTokenizer:
    expected = str(PUBLISHED[name].file.sha256)
    if hashlib.sha256(raw).hexdigest() != expected:
        raise DataError(
            f"{path}: is not the published vocabulary (SHA-256 {expected[:12]}...); delete it and try again"
        )
    return RanksTokenizer(name, raw)


for name in PUBLISHED:
    TOKENIZERS.register(name)(RanksKind(name))
