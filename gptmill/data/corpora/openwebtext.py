"""OpenWebText, the open copy of GPT-2's training text: 8,013,769 documents, 9.04 billion GPT-2 tokens.

The Hub holds it as 80 Parquet files of about 24 GB together; the SHA-256 of each is in the Hub's listing.
nanoGPT keeps 0.05% for validation, and so does this (another selection of documents: by a hash of their place).
Source: https://skylion007.github.io/OpenWebTextCorpus.
"""

from __future__ import annotations

from gptmill.data.corpora.base import CORPORA, Corpus
from gptmill.data.inputs import numbered
from gptmill.data.remote.place import Place
from gptmill.data.texts import TextFiles

REPO, REVISION, FOLDER, N_FILES = "Skylion007/openwebtext", "refs/convert/parquet", "plain_text/train", 80


def opened(place: Place, max_samples: int | None) -> TextFiles:
    paths = place.hub_files(REPO, REVISION, FOLDER, r"\d+\.parquet", complete=N_FILES, all_now=max_samples is None)
    return numbered(paths, "OpenWebText")


CORPORA.register("openwebtext")(Corpus("OpenWebText (CC0 packaging)", "gpt2", val_fraction=0.0005, open=opened))
