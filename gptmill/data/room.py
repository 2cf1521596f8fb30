"""Room on the disk for token files: asked before the text is read, and again when its first tokens are counted."""

from __future__ import annotations

import shutil
from pathlib import Path

from gptmill import units
from gptmill.errors import UserError

SPARE = 1.1  # room for files larger than the first batch lets expect
LONGEST_TOKEN = 16  # [bytes]; no vocabulary gets more than that out of a token of whole texts
NARROWEST = 2  # [bytes] of an id


def room_for_the_least(aside: Path, text: str, text_bytes: int) -> None:
    """Args: text: its description. Raises UserError when any tokenizer's files of so much text are too large."""
    least = text_bytes * NARROWEST / LONGEST_TOKEN
    if least > (free := shutil.disk_usage(aside).free):
        raise UserError(
            f"{aside.parent}: the token files of {text} ({units.size(text_bytes)}) will need {units.size(least)} at the very "
            f"least and {units.size(free)} are free; free space or choose --data_dir"
        )


def room_for(aside: Path, expected: float) -> None:
    """Args: expected: bytes, going by the first batch. Raises UserError before hours of work end at a full disk."""
    if expected * SPARE > (free := shutil.disk_usage(aside).free):
        raise UserError(
            f"{aside.parent}: the token files will need about {units.size(expected)} and {units.size(free)} are free; "
            f"free space or choose --data_dir"
        )
