"""Text from names, configs and samples, made safe to read: what would hide, reorder or forge text shows as an escape."""

from __future__ import annotations

from gptmill.track.console import printable


def visible(text: str) -> str:
    """The text with control and direction-changing characters written out; line breaks and tabs stay."""
    return "\n".join("\t".join(map(printable, row.split("\t"))) for row in text.replace("\r\n", "\n").split("\n"))
