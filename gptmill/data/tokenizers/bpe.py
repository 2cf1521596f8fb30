"""Byte-level byte-pair encoding in GPT-2's form, learned from the text or read from GPT-2's two files.

Trained by Hugging Face's ``tokenizers``.
Ids 0-255 are the bytes in GPT-2's order, then the merges in the order they were learned, end-of-text last.

Source: Radford et al. 2019, and the ``encoder.py`` published with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gptmill.data.pieces import pieces_of
from gptmill.data.tokenizers.base import END_OF_TEXT, TOKENIZERS, Tokenizer, valid
from gptmill.data.tokenizers.ranked import RankedTokenizer
from gptmill.errors import UserError
from gptmill.plain import read_plain

ENCODER, MERGES = "encoder.json", "vocab.bpe"
LARGEST_VOCABULARY = 2**20


class BpeTokenizer(RankedTokenizer):
    """Args: merges: pairs of printable pieces (as in vocab.bpe), in the order they were learned."""

    def __init__(self, name: str, merges: Sequence[tuple[str, str]]) -> None:
        byte_of = {char: byte for byte, char in printable_bytes().items()}
        pieces = [bytes([byte]) for byte in printable_bytes()]
        pieces += [bytes(byte_of[c] for c in left + right) for left, right in merges]
        if len(set(pieces)) != len(pieces):
            raise ValueError(f"{MERGES} learns the same piece twice")
        super().__init__(name, pieces, "gpt2", end_of_text=len(pieces), vocab_size=len(pieces) + 1)
        self.merges = list(merges)

    def save(self, folder: Path) -> None:
        encoder, merges = self.files()
        (folder / ENCODER).write_bytes(encoder)
        (folder / MERGES).write_bytes(merges)
        digests = {ENCODER: hashlib.sha256(encoder).hexdigest(), MERGES: hashlib.sha256(merges).hexdigest()}
        body = {"kind": "bpe", "name": self.name, "vocab_size": self.vocab_size, "sha256": digests}
        (folder / "tokenizer.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")

    def files(self) -> tuple[bytes, bytes]:
        """encoder.json and vocab.bpe."""
        ids = {"".join(pair): 256 + rank for rank, pair in enumerate(self.merges)}
        ids = {char: rank for rank, char in enumerate(printable_bytes().values())} | ids
        encoder = json.dumps(ids | {END_OF_TEXT: self.end_of_text})
        merges = "".join(f"{left} {right}\n" for left, right in self.merges)
        return encoder.encode(), f"#version: 0.2\n{merges}".encode()


@TOKENIZERS.register("bpe")
class BpeKind:
    reads = "sample"

    @staticmethod
    def check(argument: str) -> None:
        size = int(argument) if argument.isascii() and argument.isdigit() and len(argument) < 9 else 0
        if not 257 <= size <= LARGEST_VOCABULARY:
            raise UserError(
                f"tokenizer=bpe{argument and '-'}{argument}: give the vocabulary's size as bpe-N, N from 257 "
                f"(256 bytes and end-of-text) to {LARGEST_VOCABULARY}; try bpe-4096"
            )

    @staticmethod
    def trained(argument: str, texts: Iterable[str]) -> Tokenizer:
        """Learn up to argument - 257 merges; a short text has fewer to learn and gives a smaller vocabulary."""
        size = int(argument)
        return BpeTokenizer(f"bpe-{size}", _learn(size - 1, texts))

    @staticmethod
    def loaded(folder: Path, body: dict[str, object]) -> Tokenizer:
        digests = body["sha256"]
        if not isinstance(digests, dict):
            raise ValueError("sha256 must name two files")
        for name in (ENCODER, MERGES):
            if hashlib.sha256(read_plain(folder / name)).hexdigest() != digests[name]:
                raise ValueError(f"{name} is damaged: its SHA-256 is not the recorded one")
        return read_files(str(body["name"]), folder)


def read_files(name: str, folder: Path) -> BpeTokenizer:
    """A tokenizer from GPT-2's two files. Raises ValueError when they are not such files or do not belong together."""
    ids = json.loads(read_plain(folder / ENCODER))
    lines = read_plain(folder / MERGES).decode().split("\n")
    pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    known = set(printable_bytes().values())
    if not all(len(pair) == 2 and pair[0] and pair[1] and known.issuperset(pair[0] + pair[1]) for pair in pairs):
        raise ValueError(f"{MERGES} must have two byte-level pieces a line")
    tokenizer = BpeTokenizer(name, [(pair[0], pair[1]) for pair in pairs])
    expected = json.loads(tokenizer.files()[0])
    if ids != expected:
        raise ValueError(f"{ENCODER} and {MERGES} do not belong together, or end-of-text is not the last id")
    return tokenizer


def _learn(vocab_size: int, texts: Iterable[str]) -> list[tuple[str, str]]:
    from tokenizers import Tokenizer as Trainee
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    trainee = Trainee(BPE())
    trainee.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(vocab_size=vocab_size, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    trainee.train_from_iterator(_valid(texts), trainer)
    return [(left, right) for left, right in json.loads(trainee.to_str())["model"]["merges"]]


def _valid(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from pieces_of(valid(text))


def printable_bytes() -> dict[int, str]:
    """Byte -> the character that stands for it in GPT-2's files, in the order of its ids."""
    printable = [byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
