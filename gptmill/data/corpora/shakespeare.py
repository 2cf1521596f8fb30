"""Tiny Shakespeare, 1,115,394 characters: nanoGPT's first dataset, with GPT-2's tokens or one token a character.

Source: https://github.com/karpathy/char-rnn. Split as nanoGPT's prepare.py does, the first 90% of characters for
training: 301,966 + 36,059 tokens of GPT-2, 1,003,854 + 111,540 characters.
"""

from __future__ import annotations

from gptmill.data.corpora.base import CORPORA, Corpus
from gptmill.data.remote.files import RemoteFile
from gptmill.data.remote.place import Place
from gptmill.data.texts import TextFiles
from gptmill.errors import UserError

FILE = RemoteFile(
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "input.txt",
    1_115_394,
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)


def opened(place: Place, max_samples: int | None) -> TextFiles:
    if max_samples is not None:
        raise UserError(
            f"max_samples={max_samples}: tiny Shakespeare is one text, it has no documents to count; leave max_samples out"
        )
    return TextFiles([(place.file(FILE), "0")], "tiny Shakespeare")


for name, tokenizer, vocab_size in (
    ("shakespeare", "gpt2", None),
    ("tinyshakespeare", "gpt2", None),
    ("shakespeare_char", "char", 65),
):
    CORPORA.register(name)(
        Corpus("tiny Shakespeare (public domain)", tokenizer, 0.1, opened, on_demand=True, vocab_size=vocab_size)
    )
