"""WikiText-2 and WikiText-103, raw: Wikipedia's good and featured articles, with their own validation text.

Rows run on as one text, without an end-of-text between them: 117.9 million GPT-2 tokens for WikiText-103, as source 001
counts them. ``train.txt`` and ``valid.txt`` in the dataset's folder (any edition of WikiText) are used instead of a download.
Source: Merity et al. 2016, arXiv:1609.07843; files of https://huggingface.co/datasets/Salesforce/wikitext (CC BY-SA).
"""

from __future__ import annotations

from gptmill.data.corpora.base import CORPORA, Corpus
from gptmill.data.inputs import numbered
from gptmill.data.remote.place import Place
from gptmill.data.sources import OwnSplits

REPO, REVISION = "Salesforce/wikitext", "b08601e04326c79dfdd32d625aee71d232d685c3"
TRAIN, VAL = r"train-\d+-of-\d+\.parquet", r"validation-\d+-of-\d+\.parquet"


def corpus(title: str, folder: str) -> Corpus:
    def opened(place: Place, max_samples: int | None) -> OwnSplits:
        if given := place.given("train.txt", "valid.txt"):
            train, val = numbered([given[0]]), numbered([given[1]])
        else:
            also = f"with those of validation, or train.txt and valid.txt of any edition into {place.folder}"
            train = numbered(place.hub_files(REPO, REVISION, folder, TRAIN, also=also))
            val = numbered(place.hub_files(REPO, REVISION, folder, VAL))
        return OwnSplits(train, val, title, one_text=True, max_rows=max_samples)

    return Corpus(f"{title} (Wikipedia, CC BY-SA)", "gpt2", val_fraction=None, open=opened, on_demand=True)


CORPORA.register("wikitext")(corpus("WikiText-2", "wikitext-2-raw-v1"))
CORPORA.register("wikitext-2")(corpus("WikiText-2", "wikitext-2-raw-v1"))
CORPORA.register("wikitext-103")(corpus("WikiText-103", "wikitext-103-raw-v1"))
