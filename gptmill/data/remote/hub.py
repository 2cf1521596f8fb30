"""Files of a dataset repository on the Hugging Face Hub, by its public API: names, sizes and SHA-256.

The Hub keeps large files by their SHA-256 (Git LFS) and says it in the listing, so every file listed is checked.
Source: https://huggingface.co/docs/hub/api, GET /api/datasets/REPO/tree/REVISION/FOLDER.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote  # light, unlike urllib.request

from gptmill.data.remote.files import RemoteFile
from gptmill.errors import DataError

HUB = "https://huggingface.co"
LARGEST_LISTING = 16 * 2**20  # [bytes]; the Hub lists up to a thousand files at once, in about 300 kB


def list_files(repo: str, revision: str, folder: str, pattern: str, cache: Path) -> list[RemoteFile]:
    """The files of one folder whose name matches, sorted by name.

    Args:
        cache: folder in which the listing is kept, so that a download goes on with the files it began with.

    Raises:
        Offline, DataError: the listing cannot be had, or is not one.
    """
    name = f"list-{re.sub(r'[^0-9A-Za-z]+', '-', f'{repo} {revision} {folder}')}.json"
    url = f"{HUB}/api/datasets/{repo}/tree/{quote(revision, safe='')}/{folder}"
    from gptmill.data.remote.fetch import fetch

    path = fetch(RemoteFile(url, name), cache)
    try:
        raw = path.read_bytes()
        rows: list[Any] = json.loads(raw) if len(raw) <= LARGEST_LISTING else []
        files = [_file(row, repo, revision) for row in rows if re.fullmatch(pattern, Path(row["path"]).name)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        path.unlink(missing_ok=True)
        raise DataError(f"{url}: did not send a list of files; try again later") from None
    if not files:
        path.unlink(missing_ok=True)
        raise DataError(f"{url}: lists no file called {pattern}; the dataset was moved or renamed")
    return sorted(files, key=lambda file: file.name)


def page(repo: str, revision: str, folder: str) -> str:
    """Where a person finds the same files in a browser."""
    return f"{HUB}/datasets/{repo}/tree/{quote(revision, safe='')}/{folder}"


def address(repo: str, revision: str, path: str) -> str:
    """The URL of one file."""
    return f"{HUB}/datasets/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}"


def _file(row: dict[str, Any], repo: str, revision: str) -> RemoteFile:
    name = Path(row["path"]).name
    large = row.get("lfs") or {}
    size, sha256 = row["size"], large.get("oid")
    if type(size) is not int or size < 0 or not (sha256 is None or re.fullmatch("[0-9a-f]{64}", sha256)):
        raise ValueError(name)
    return RemoteFile(address(repo, revision, row["path"]), name, size, sha256)
