"""GPT-2's own tokenizer: its two published files, from a folder the user names, the user's cache, or OpenAI's server."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gptmill.data.tokenizers.base import TOKENIZERS, Tokenizer, no_argument
from gptmill.data.tokenizers.bpe import ENCODER, MERGES, BpeTokenizer, read_files
from gptmill.errors import DataError
from gptmill.plain import read_plain

if TYPE_CHECKING:
    import numpy as np

ADDRESS = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
SHA256 = {  # as pinned by tiktoken's gpt2 definition
    ENCODER: "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    MERGES: "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
LARGEST_FILE = 4 * 2**20  # [bytes]; the real ones have 1.0 and 0.5 MB
TIMEOUT = 20.0  # [seconds] without an answer


def cache_folder() -> Path:
    """Where downloaded files are kept, and where a machine without a network may be given them."""
    try:
        return Path.home() / ".cache" / "gptmill" / "gpt2"
    except RuntimeError:  # a container whose user has no name and no HOME
        raise DataError(
            "tokenizer=gpt2: its files are kept in ~/.cache, and there is no home folder; set HOME"
        ) from None


def from_folder(folder: Path) -> Tokenizer:
    """GPT-2's tokenizer from a folder with encoder.json and vocab.bpe, compared with their known SHA-256.

    Raises:
        DataError: a file is missing, or is not GPT-2's.
    """
    for name, expected in SHA256.items():
        path = folder / name
        try:
            content = read_plain(path, LARGEST_FILE)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); GPT-2's tokenizer needs {_both()}") from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise DataError(f"{path}: is not GPT-2's file (SHA-256 {expected[:12]}...); delete it and try again")
    return read_files("gpt2", folder)


def is_gpt2(tokenizer: BpeTokenizer) -> bool:
    """Whether its merges are GPT-2's."""
    return hashlib.sha256(tokenizer.files()[1]).hexdigest() == SHA256[MERGES]


class Gpt2ByName:
    """GPT-2's tokenizer before its files are there: they are looked for when the first text has to be encoded or decoded.

    Training on ids needs no text, so a machine without a network can train; what it saves then is the name alone.
    """

    name = "gpt2"
    vocab_size = 50_257
    end_of_text: int | None = 50_256

    def encode(self, text: str) -> list[int]:
        return self.files.encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        return self.files.encode_batch(texts)

    def decode(self, ids: Iterable[int]) -> str:
        return self.files.decode(ids)

    def piece(self, token: int) -> bytes:
        return self.files.piece(token)

    def save(self, folder: Path) -> None:
        """The two files when they are on this machine, else tokenizer.json alone; never waits for a network."""
        try:
            from_folder(cache_folder()).save(folder)
        except DataError:
            body = {"kind": "gpt2", "name": self.name}
            (folder / "tokenizer.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")

    @cached_property
    def files(self) -> Tokenizer:
        return fetched()


@TOKENIZERS.register("gpt2")
class Gpt2Kind:
    reads = "nothing"

    @staticmethod
    def check(argument: str) -> None:
        no_argument("gpt2", argument)

    @staticmethod
    def trained(argument: str, texts: Iterable[str]) -> Tokenizer:
        return fetched(
            ", or prepare with their folder (gptmill prepare --tokenizer FOLDER) or a vocabulary learned from the text "
            "(--tokenizer bpe-4096)"
        )

    @staticmethod
    def loaded(folder: Path, body: dict[str, object]) -> Tokenizer:
        return Gpt2ByName()


def fetched(otherwise: str = "") -> Tokenizer:
    """GPT-2's tokenizer from the user's cache, downloading what is missing there.

    Raises:
        DataError: no network; says where the files belong, and what else can be done.
    """
    folder = cache_folder()
    for name in SHA256:
        if not (folder / name).exists():
            _download(name, folder, otherwise)
    return from_folder(folder)


def _download(name: str, folder: Path, otherwise: str) -> None:
    from urllib.request import urlopen

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urlopen(ADDRESS + name, timeout=TIMEOUT) as answer:
            if not answer.url.startswith("https://"):
                raise OSError(f"redirected to {answer.url:.80}")
            content = answer.read(LARGEST_FILE)
    except OSError as error:  # URLError and time-outs are OSErrors
        raise DataError(
            f"tokenizer=gpt2: {name} could not be downloaded ({error}); put {_both()} into {folder}{otherwise}"
        ) from None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataError(
            f"tokenizer=gpt2: what {ADDRESS}{name} sent is not GPT-2's file (SHA-256 differs); try again later"
        )
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(content)
    os.replace(file.name, folder / name)


def _both() -> str:
    return f"{ENCODER} and {MERGES} (from {ADDRESS})"
