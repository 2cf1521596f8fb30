"""``gptmill sample --interactive``: a prompt is typed, a text comes back, and so on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gptmill.cli.device import autocast
from gptmill.cli.sampling.batches import Speed, generate_batches
from gptmill.cli.sampling.prompts import check_ids, encode
from gptmill.cli.sampling.request import Request
from gptmill.cli.sampling.writer import Writer, show
from gptmill.cli.say import say
from gptmill.data.tokenizers import Tokenizer
from gptmill.data.tokenizers.base import valid
from gptmill.errors import UserError

if TYPE_CHECKING:
    from gptmill.model.gpt import GPT


def converse(model: GPT, request: Request, tokenizer: Tokenizer, writer: Writer, device: str) -> None:
    """Read a line, go on from it, until there is no more; a line that cannot be encoded is told and the next asked for."""
    while (line := ask()) is not None:
        try:
            prompt = encode(line, valid(line), tokenizer)
            check_ids([prompt], model.shape.vocab_size)
        except UserError as error:
            say(*error.problems)
            continue
        speed = Speed()
        try:
            with autocast(device, request.dtype):
                for batch in generate_batches(model, prompt.ids, request, tokenizer, speed):
                    show(batch, prompt, tokenizer, writer)
        except KeyboardInterrupt:  # enough of this one
            say("")
        finally:
            writer.end()
        say(str(speed))


def ask() -> str | None:
    """A line from the terminal, or from a pipe; None at its end."""
    try:
        if sys.stdin.isatty():
            import readline  # noqa: F401 - input() takes its arrows and its history from there
        return input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None
