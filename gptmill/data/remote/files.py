"""What is known of a file before it is fetched. Apart from ``fetch.py``, so that naming a dataset loads no network code."""

from __future__ import annotations

from dataclasses import dataclass

from gptmill.errors import DataError


@dataclass(frozen=True)
class RemoteFile:
    """A file and what is published about it.

    Args:
        name: what it is called on disk, a plain file name.
        size: [bytes]; None where nobody publishes it, then the server's Content-Length is believed.
        sha256: None where nobody publishes it; then only size and format can be checked.
    """

    url: str
    name: str
    size: int | None = None
    sha256: str | None = None


class Offline(DataError):
    """No connection could be made at all: nothing was fetched, and asking again at once would not help."""
