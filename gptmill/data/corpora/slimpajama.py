"""SlimPajama, deduplicated RedPajama: 627 billion tokens, or a sample of 6 billion; both have a validation text.

The names that end in ``_llama`` take a vocabulary of 32,000 learned from the text: LLaMA's own tokenizer comes under a
licence each user accepts, and has the same size. A folder with another tokenizer: --tokenizer FOLDER.
The original upload (cerebras/SlimPajama-627B) is gone from the Hub since 2026; the copy named here holds the same documents.
Source: Soboleva et al. 2023; https://huggingface.co/datasets/DKYoon/SlimPajama-6B.
"""

from __future__ import annotations

from gptmill.data.corpora.base import CORPORA, Corpus
from gptmill.data.inputs import numbered
from gptmill.data.remote.place import Place
from gptmill.data.sources import OwnSplits

REPOS = {  # size: (repository, revision)
    "6b": ("DKYoon/SlimPajama-6B", "b5f90f419b7489cdba26fdbc8c022fcb5562f968"),
    "627b": ("gmongaras/SlimPajama-627B_Reupload", "main"),
}
PATTERN = r"{split}-\d+-of-\d+(-[0-9a-f]+)?\.parquet"
TOKENIZERS = {"": "gpt2", "_gpt2": "gpt2", "_llama": "bpe-32000"}


def corpus(size: str, tokenizer: str) -> Corpus:
    repo, revision = REPOS[size]
    title = f"SlimPajama-{size.upper()}"

    def opened(place: Place, max_samples: int | None) -> OwnSplits:
        now = max_samples is None
        train = place.hub_files(
            repo, revision, "data", PATTERN.format(split="train"), all_now=now, also="with those of validation"
        )
        val = place.hub_files(repo, revision, "data", PATTERN.format(split="validation"))
        return OwnSplits(numbered(train), numbered(val), title, one_text=False)

    return Corpus(f"{title} (Apache 2.0)", tokenizer, val_fraction=None, open=opened)


for size in REPOS:
    for suffix, tokenizer in TOKENIZERS.items():
        CORPORA.register(f"slimpajama_{size}{suffix}")(corpus(size, tokenizer))
