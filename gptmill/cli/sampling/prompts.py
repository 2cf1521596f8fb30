"""What a sample starts from: the text of a flag or of a file, as token ids."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

from gptmill.config.wording import show
from gptmill.data.tokenizers.base import Tokenizer, valid
from gptmill.errors import UserError
from gptmill.plain import open_plain

MAX_BYTES = 4 * 2**20  # far beyond any context, and encoded in seconds


@dataclass(frozen=True)
class Prompt:
    """Args: ids: what the model reads, at least one; the text's, or the start of a document where there is no text."""

    text: str
    ids: list[int]


def read_text(given: str) -> str:
    """The prompt itself, or the text of the file that FILE:PATH names.

    Raises:
        UserError: the file cannot be read as text.
    """
    return valid(_read_file(given) if given.startswith("FILE:") else given)


def encode(given: str, text: str, tokenizer: Tokenizer) -> Prompt:
    """The ids of a prompt's text.

    Raises:
        UserError: the tokenizer does not know a character; names the prompt, as it was given, and the character.
    """
    try:
        ids = [int(i) for i in tokenizer.encode(text)]
    except UserError as error:
        raise UserError(f"--prompt {show(given)}: {error}") from None
    return Prompt(text, ids or [start_of_document(tokenizer)])


def check_ids(prompts: list[Prompt], vocab_size: int) -> None:
    """Raise UserError where the tokenizer knows more than the model: it was trained with a smaller vocab_size."""
    for prompt in prompts:
        if max(prompt.ids) >= vocab_size:
            says = f"token {max(prompt.ids)} is not in the model's vocabulary of {vocab_size:,}; try another prompt"
            raise UserError(f"--prompt {show(prompt.text) or 'empty'}: {says}")


def start_of_document(tokenizer: Tokenizer) -> int:
    """The id that stood between documents in training; where the tokenizer has none, a line break stands for it."""
    if tokenizer.end_of_text is not None:
        return tokenizer.end_of_text
    try:
        return int(tokenizer.encode("\n")[0])
    except UserError:  # a vocabulary of characters without line breaks
        return 0


def _read_file(given: str) -> str:
    """A text file, line ends as Python reads them: nanoGPT's prompt and ours are the same."""
    path = Path(os.path.expanduser(given.removeprefix("FILE:")))  # a shell leaves the ~ of FILE:~/x alone
    says = f"--prompt {show(given)}: "
    if not path.name or "\0" in path.name:
        raise UserError(f"{says}names no file; try FILE:prompt.txt")
    try:
        with open_plain(path) as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{says}{error.strerror}; name a text file, as FILE:prompt.txt") from None
    if len(raw) > MAX_BYTES:
        raise UserError(f"{says}over {MAX_BYTES // 2**20} MiB; the model reads only its last block_size tokens: cut it")
    try:
        return io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(f"{says}line {line} is not UTF-8 text; save the file as UTF-8") from None
