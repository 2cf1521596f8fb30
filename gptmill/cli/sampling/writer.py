"""Samples as a person reads them on stdout, while they are made."""

from __future__ import annotations

import os
import re
from typing import TextIO

from rich.console import Console

from gptmill.cli.sampling.batches import Batch
from gptmill.cli.sampling.prompts import Prompt
from gptmill.data.tokenizers import Tokenizer
from gptmill.data.tokenizers.stream import StreamDecoder
from gptmill.track.console import printable

DIM, PLAIN = "\x1b[2m", "\x1b[22m"
KEPT = re.compile(r"(\r\n|[\n\t])")


class Writer:
    """Writes each sample as its prompt (dim on a terminal) and the text that follows; a line of dashes between two.

    Neither a model nor a prompt can send escape sequences: control characters are written out, the same in a terminal
    and in a file; tabs and line breaks stay.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or open(os.devnull, "w")  # noqa: SIM115  (stdout may be closed; lives as long as we do)
        self._encoding = getattr(self._stream, "encoding", None) or "utf-8"
        console = Console(file=self._stream, legacy_windows=False)
        self._dims = console.is_terminal and not console.is_dumb_terminal and not console.no_color
        self._held = ""  # a carriage return: half a line break, or a way to overwrite the line
        self._open = False
        self._samples = 0

    def begin(self, prompt: str) -> None:
        """Start a sample."""
        if self._samples:
            self._send("-" * 20 + "\n")
        self._samples += 1
        self._open = True
        shown = self._safe(prompt)
        self._send(f"{DIM}{shown}{PLAIN}" if self._dims and shown else shown)

    def write(self, text: str) -> None:
        """Show more of the sample at once."""
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        self._send(self._safe(text.removesuffix("\r")))

    def end(self) -> None:
        """Finish the sample that was begun, whole or not; nothing if none is open."""
        if self._open:
            self._open = False
            self._send(self._safe(self._held) + "\n")
            self._held = ""

    def _safe(self, text: str) -> str:
        return "".join(part if KEPT.fullmatch(part) else printable(part) for part in KEPT.split(text))

    def _send(self, text: str) -> None:
        self._stream.write(text.encode(self._encoding, "backslashreplace").decode(self._encoding))
        self._stream.flush()


def show(batch: Batch, prompt: Prompt, tokenizer: Tokenizer, writer: Writer | None) -> list[list[int]]:
    """Generate one batch: its first sample appears token by token, the others when it is done.

    Returns:
        the new ids of each sample; the end of text among them is not shown.
    """
    samples: list[list[int]] = [[] for _ in range(batch.n_samples)]
    decoder = StreamDecoder(tokenizer)
    if writer is not None:
        writer.begin(prompt.text)
    for tokens_B in batch.steps:
        for ids, token in zip(samples, tokens_B):
            if token is not None:
                ids.append(token)
        first = tokens_B[0]
        if writer is not None and first is not None and first != batch.end:
            writer.write(decoder.feed(first))
    if writer is not None:
        writer.write(decoder.close())
        writer.end()
        for ids in samples[1:]:
            writer.begin(prompt.text)
            writer.write(tokenizer.decode(text_of(ids, batch)))
            writer.end()
    return samples


def text_of(ids: list[int], batch: Batch) -> list[int]:
    """A sample's ids that are text: all but its end."""
    return ids[:-1] if ids and ids[-1] == batch.end else ids
