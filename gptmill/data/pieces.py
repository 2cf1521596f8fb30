"""Documents as bounded pieces of text, cut where no tokenizer would have joined across."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# tiktoken's regex engine gives up on a run of a million spaces; a piece is well below that
PIECE_CHARS = 2**18


@dataclass(frozen=True)
class Piece:
    """Part of a document.

    Args:
        key: the document's; with the seedless hash of it, a document is always in the same split.
        start: characters of the document before this piece.
        last: the document ends here.
        split: 'train' or 'val' where the source decides; empty leaves it to the hash of the key.
        counted: it is a target; False for a prompt, which is only read.
        closes: an end of text follows, though the document goes on.
    """

    text: str
    key: str
    start: int
    last: bool
    split: str = ""
    counted: bool = True
    closes: bool = False


def cut(text: str, limit: int = PIECE_CHARS) -> int:
    """Where to end the first piece of a text longer than limit + 1 characters.

    Inside "x\\ny" after the line break, or inside "x y" before the space, GPT-2's pre-tokenizer (and cl100k's, o200k's) cuts anyway when the
    neighbours x and y are not spaces, so the pieces' tokens are those of the whole text. Only text without any such
    place (a long run of letters or of spaces) is cut hard, at limit.
    """
    for mark, keep in (("\n", 1), (" ", 0)):
        at = limit
        while (at := text.rfind(mark, limit // 2, at)) > 0:
            if text[at - 1].isspace():  # no place in this run of spaces has other neighbours on both sides
                at = limit // 2 + len(text[limit // 2 : at].rstrip())
                continue
            # o200k's pattern lets punctuation run on over a line break into slashes
            if not text[at + 1].isspace() and text[at + 1] != "/":
                return at + keep
    return limit


def pieces_of(text: str, limit: int = PIECE_CHARS) -> list[str]:
    """The text as pieces of at most limit + 1 characters; joined they are the text."""
    pieces = []
    start = 0
    while len(text) - start > limit + 1:
        end = start + cut(text[start : start + limit + 1], limit)
        pieces.append(text[start:end])
        start = end
    pieces.append(text[start:])
    return pieces


def as_pieces(texts: Iterator[str], key: str) -> Iterator[Piece]:
    """Texts that follow on each other, as the pieces of one document."""
    rest, start = "", 0
    for text in texts:
        rest += text
        begin = 0
        while len(rest) - begin > PIECE_CHARS + 1:
            end = begin + cut(rest[begin : begin + PIECE_CHARS + 1])
            yield Piece(rest[begin:end], key, start + begin, last=False)
            begin = end
        rest, start = rest[begin:], start + begin
    if rest or start:
        yield Piece(rest, key, start, last=True)
