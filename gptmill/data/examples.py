"""Examples to finetune on: a .jsonl whose lines have a prompt and a response, or a conversation.

Only what the model is to write counts as a target, and the end of text after it; all else is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from gptmill.data.pieces import Piece, as_pieces
from gptmill.data.texts import JSON_LINES, TextFiles
from gptmill.errors import DataError

ANSWERS = ("response", "completion")
ROLES = ("system", "user", "assistant")
SHAPES = 'every line must have "prompt" and "response" (or "completion"), or "messages"'


class Part(NamedTuple):
    """Args: counted: the model is to write it; an end of text follows."""

    text: str
    counted: bool


class Examples(TextFiles):
    """As ``TextFiles``, one example a line; every piece says whether it counts."""

    completions = True

    def pieces(self) -> Iterator[Piece]:
        for path, _ in self._files:
            if not path.name.endswith(JSON_LINES):
                raise DataError(f"{path}: --completions reads {', '.join(JSON_LINES)}; {SHAPES}")
        yield from super().pieces()

    def _of_line(self, raw: bytes, where: str, key: str) -> Iterator[Piece]:
        parts = [Part(self._sound(part.text, where), part.counted) for part in parts_of(self._json(raw, where), where)]
        start = 0
        for number, part in enumerate(parts, 1):
            for piece in as_pieces(iter([part.text]), key):
                last, closes = piece.last and number == len(parts), piece.last and part.counted
                yield replace(piece, start=start + piece.start, last=last, counted=part.counted, closes=closes)
            start += len(part.text)


def parts_of(body: Any, where: str) -> list[Part]:
    """The texts of an example in order; joined they are what the model sees. The last one counts and is not empty.

    Args:
        where: file and line, for messages.
    """
    if isinstance(body, dict) and "messages" in body:
        return _conversation(body["messages"], where)
    answer = next((key for key in ANSWERS if isinstance(body, dict) and key in body), None)
    if answer is None or "prompt" not in body:
        raise DataError(f"{where}: {SHAPES}{_has(body)}")
    for key in ("prompt", answer):
        if not isinstance(body[key], str):
            raise DataError(f'{where}: "{key}" must be a string')
    if not body[answer]:
        raise DataError(f'{where}: an empty "{answer}": there is nothing to learn; take the line out')
    return [Part(body["prompt"], False), Part(body[answer], True)]


def _conversation(messages: Any, where: str) -> list[Part]:
    """The turns in plain text, in the format of Tulu: <|user|>, a line break, what was said, and so on.

    Source: Wang et al. 2023, arXiv:2306.04751, and the chat template of their published models.
    """
    if not isinstance(messages, list) or not messages:
        raise DataError(f'{where}: "messages" must be a list of {{"role": ..., "content": ...}}')
    parts: list[Part] = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise DataError(f'{where}: message {number} needs a "role": {", ".join(ROLES)}')
        content = message.get("content")
        if not isinstance(content, str) or not content:
            raise DataError(f'{where}: message {number} needs a "content", a string that is not empty')
        header = f"<|{message['role']}|>\n"
        if message["role"] == "assistant":
            parts += [Part(header, False), Part(content, True), Part("\n", False)]
        else:
            parts.append(Part(f"{header}{content}\n", False))
    if messages[-1]["role"] != "assistant":
        raise DataError(f"{where}: the last message must be the assistant's: nothing follows the others to learn from")
    return parts[:-1]


def _has(body: Any) -> str:
    return f"; this one has {json.dumps(sorted(body))[1:61]}" if isinstance(body, dict) and body else ""
