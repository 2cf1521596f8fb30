"""The first pass over a text: how much there is, what learns a tokenizer from it, and which part is validation."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptmill.data.pieces import Piece

if TYPE_CHECKING:
    from gptmill.data.sources import Source

SAMPLE_CHARS = 8 * 2**20  # a BPE vocabulary learned from more differs little and takes seconds longer


class Fingerprint:
    """SHA-256 of a text as it was read: its characters, what of them is only read, and where each document ends."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, piece: Piece) -> None:
        self._hash.update(piece.text.encode())
        if not piece.counted:
            self._hash.update(b"\0")
        if piece.last:
            self._hash.update(b"\0" + piece.key.encode() + b"\0")

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Survey:
    """What the first pass found.

    Args:
        alphabet: every character, sorted; empty unless asked for.
        sample: pieces to learn a vocabulary from, in text order; empty unless asked for.
        lowest, highest: keys of the documents that go to val and to train whatever the fraction.
    """

    documents: int
    characters: int
    sha256: str
    alphabet: str
    sample: tuple[Piece, ...]
    lowest: str
    highest: str


def survey(source: Source, reads: str) -> Survey:
    """Args: reads: what the tokenizer wants to see: 'all', a 'sample' or 'nothing'."""
    fingerprint = Fingerprint()
    documents = characters = sampled = 0
    alphabet: set[str] = set()
    heap: list[tuple[float, int, Piece]] = []  # the pieces with the lowest shares; the worst is on top
    shares: dict[str, float] = {}
    for order, piece in enumerate(source.pieces()):
        fingerprint.add(piece)
        documents += piece.last
        characters += len(piece.text)
        if piece.last:
            shares[piece.key] = share(piece.key)
            low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
            shares = {key: shares[key] for key in (low, high)}
        if reads == "all":
            alphabet.update(piece.text)
        if reads == "sample":
            heapq.heappush(heap, (-share(f"{piece.key} {piece.start}"), -order, piece))
            sampled += len(piece.text)
            while sampled > SAMPLE_CHARS:
                sampled -= len(heapq.heappop(heap)[2].text)
    if documents > 1 and alphabet:
        alphabet.add("\n")  # put between documents where there is no end-of-text
    sample = tuple(piece for _, _, piece in sorted(heap, key=lambda entry: -entry[1]))
    lowest, highest = next(iter(shares), ""), next(reversed(shares), "")
    return Survey(documents, characters, fingerprint.hexdigest(), "".join(sorted(alphabet)), sample, lowest, highest)


def share(key: str) -> float:
    """A number in [0, 1) that depends on the key alone, evenly spread."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


class Splitter:
    """Decides what is validation.

    A single document is cut: its last val_fraction of characters, as nanoGPT does. Several are told apart by a hash of
    their keys, so that a document is never in both; at least one goes to each side.
    """

    def __init__(self, found: Survey, val_fraction: float) -> None:
        self._found = found
        self._val_fraction = val_fraction
        self._cut = int(found.characters * (1 - val_fraction))

    def parts(self, piece: Piece) -> list[tuple[str, str]]:
        """The piece as (split, text) pairs: one, or two where the cut goes through it."""
        if piece.split:
            return [(piece.split, piece.text)]
        if self._found.documents > 1:
            return [("val" if self._is_val(piece.key) else "train", piece.text)]
        left = max(0, self._cut - piece.start)
        return [(split, text) for split, text in (("train", piece.text[:left]), ("val", piece.text[left:])) if text]

    def _is_val(self, key: str) -> bool:
        if key in (self._found.lowest, self._found.highest):
            return key == self._found.lowest
        return share(key) < self._val_fraction
