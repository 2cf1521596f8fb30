"""Long text in bounded pieces, cut where no tokenizer would have joined across."""

from __future__ import annotations

# tiktoken's regex engine gives up on a run of a million spaces; a piece is well below that
PIECE_CHARS = 2**18


def cut(text: str, limit: int = PIECE_CHARS) -> int:
    """Where to end the first piece of a text longer than limit + 1 characters.

    Inside "x\\ny" after the line break, or inside "x y" before the space, GPT-2's pre-tokenizer (and cl100k's, o200k's) cuts anyway when the
    neighbours x and y are not spaces, so the pieces' tokens are those of the whole text. Only text without any such
    place (a long run of letters or of spaces) is cut hard, at limit.
    """
    for mark, keep in (("\n", 1), (" ", 0)):
        at = limit
        while (at := text.rfind(mark, limit // 2, at)) > 0:
            # o200k's pattern lets punctuation run on over a line break into slashes
            if not text[at - 1].isspace() and not text[at + 1].isspace() and text[at + 1] != "/":
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
