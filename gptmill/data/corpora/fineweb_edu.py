"""FineWeb-Edu, the sample of 10 billion GPT-2 tokens: web pages a classifier found educational.

Fourteen Parquet files of about 28 GB together; the SHA-256 of each is in the Hub's listing.
Source: Penedo et al. 2024, arXiv:2406.17557; https://huggingface.co/datasets/HuggingFaceFW/fineweb-edu (ODC-By 1.0).
"""

from __future__ import annotations

from gptmill.data.corpora.base import CORPORA, Corpus
from gptmill.data.inputs import numbered
from gptmill.data.remote.place import Place
from gptmill.data.texts import TextFiles

REPO, REVISION, FOLDER, N_FILES = "HuggingFaceFW/fineweb-edu", "main", "sample/10BT", 14


def opened(place: Place, max_samples: int | None) -> TextFiles:
    paths = place.hub_files(REPO, REVISION, FOLDER, r"\d+_\d+\.parquet", complete=N_FILES, all_now=max_samples is None)
    return numbered(paths, "FineWeb-Edu, sample 10BT")


for name in ("fineweb-edu", "finewebedu"):
    CORPORA.register(name)(
        Corpus("FineWeb-Edu, sample of 10 billion tokens (ODC-By 1.0)", "gpt2", val_fraction=0.0005, open=opened)
    )
