"""Models of the Hugging Face Hub, by huggingface_hub: what is in its cache is taken from there, without a network."""

from __future__ import annotations

from pathlib import Path

from gptmill.errors import UserError

CONFIG = ("config.json",)
WEIGHTS = (*CONFIG, "generation_config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer*.json",
           "vocab.json", "merges.txt")  # fmt: skip


def in_cache(repo: str, name: str) -> Path | None:
    """A file of a repository, if it has been downloaded."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, name)
    return Path(found) if isinstance(found, str) else None


def download(repo: str, patterns: tuple[str, ...], what: str) -> Path:
    """The folder in the cache that holds a repository's files of these names, which are downloaded if they are not there.

    Raises:
        UserError: no network, no such repository, or no access to it; says what can be done.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, allow_patterns=list(patterns)))
    except Exception as error:  # of the library's own, of its HTTP client's, of the disk
        says = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{what}: is no folder here, and could not be downloaded ({says[0]:.160}); on a machine with a network, `hf download {repo} "
            f"--local-dir DIR`, then give DIR in its place"
        ) from None
