"""One file from a URL to disk: resumed where it stopped, checked, and only then given its name.

The bytes go to NAME.part, so a killed download leaves something to go on with and never a file that looks whole.
A proxy in the environment is honoured, as urllib does.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gptmill import __version__
from gptmill.data.remote.files import Offline, RemoteFile
from gptmill.errors import DataError

CHUNK_BYTES = 2**20
TIMEOUT = 30.0  # [seconds] without a byte
TRIES = 5  # in a row that bring nothing new
WAIT = 1.0  # [seconds] before the second try; doubles with each further one
LONGEST_WAIT = 60.0  # [seconds] that a server's Retry-After can ask for
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
Progress = Callable[[int, int | None], None]  # bytes on disk, bytes in all where known


class _Interrupted(Exception):
    """The transfer stopped early; what arrived is kept and the rest is asked for.

    Args:
        wait: Retry-After, as the server sent it.
    """

    def __init__(self, says: str, wait: str | None = None) -> None:
        super().__init__(says)
        self.wait = wait


def fetch(file: RemoteFile, folder: Path, progress: Progress | None = None) -> Path:
    """The file below ``folder``, downloaded unless it is there.

    Raises:
        Offline: no connection; DataError: the server has no such file, or sends something else.
    """
    path, part = folder / file.name, folder / f"{file.name}.part"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    failures, again = 0, True
    while True:
        before = _size(part)
        try:
            _transfer(file, part, progress)
            if problem := _problem(file, part):
                part.unlink()
                if not again:
                    raise DataError(f"{file.url}: {problem}; try again later")
                again = False  # a part from an older version of the file, or a damaged transfer: once more from zero
                continue
            break
        except _Interrupted as stop:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= TRIES:
                kept = f"; {_size(part)} bytes are kept in {part}, the same command goes on" if _size(part) else ""
                raise DataError(f"{file.url}: {stop} ({TRIES} tries){kept}") from None
            time.sleep(_pause(stop, failures))
    with part.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(part, path)
    return path


def _transfer(file: RemoteFile, part: Path, progress: Progress | None) -> None:
    """Append what is missing to ``part``; raises _Interrupted when it is worth trying again."""
    have = _size(part)
    if file.size is not None and have >= file.size:
        return
    headers = {"User-Agent": f"gptmill/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with _opener().open(Request(file.url, headers=headers), timeout=TIMEOUT) as answer:
            if answer.status != 206:
                have = 0  # the server begins at the beginning
            total = _total(file, answer, have)
            with part.open("ab" if have else "wb") as out:
                _copy(file, answer, out, have, total, progress)
    except HTTPError as error:
        if error.code == 416 and have:  # the part is as long as the file, or longer
            part.unlink()
            raise _Interrupted("the file changed while it was being downloaded") from None
        if error.code in TRY_AGAIN:
            raise _Interrupted(f"the server answers {error.code}", error.headers.get("Retry-After")) from None
        raise DataError(f"{file.url}: the server answers {error.code} {error.reason}") from None
    except URLError as error:
        if isinstance(error.reason, TimeoutError) or have:
            raise _Interrupted(_says(error.reason)) from None
        raise Offline(f"{urlsplit(file.url).netloc}: {_says(error.reason)}") from None
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _Interrupted(_says(error)) from None


def _copy(
    file: RemoteFile, answer: Any, out: IO[bytes], have: int, total: int | None, progress: Progress | None
) -> None:
    while True:
        chunk = answer.read1(CHUNK_BYTES)
        if not chunk:
            break
        if have == 0 and _is_web_page(chunk) and not file.name.endswith((".html", ".htm")):
            raise DataError(f"{file.url}: sent a web page instead of the file (a login or an error page?)")
        out.write(chunk)
        have += len(chunk)
        if total is not None and have > total:
            raise DataError(f"{file.url}: sends more than the {total} bytes it should have; try again later")
        if progress:
            progress(have, total)
    if total is not None and have < total:
        raise _Interrupted(f"ended after {have} of {total} bytes")


def _total(file: RemoteFile, answer: Any, have: int) -> int | None:
    """Bytes of the whole file; a server that says otherwise than what is published is not believed."""
    if have and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise _Interrupted("the server sent another range than the one asked for")
    length = answer.headers.get("Content-Length", "")
    says = have + int(length) if length.isascii() and length.isdigit() else None
    if file.size is not None and says is not None and says != file.size:
        sent = "sent a web page" if _is_web_page(answer.read1(512)) else f"has {says} bytes"
        raise DataError(f"{file.url}: {sent}, but a file of {file.size} bytes is published there; try again later")
    return file.size if file.size is not None else says


def _problem(file: RemoteFile, part: Path) -> str | None:
    if file.size is not None and _size(part) != file.size:
        return f"{_size(part)} bytes arrived, {file.size} are published"
    if file.sha256 is not None and (found := sha256_of(part)) != file.sha256:
        return f"what arrived is not the published file (SHA-256 {found[:12]}..., expected {file.sha256[:12]}...)"
    return None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _SameScheme(HTTPRedirectHandler):
    """Follows redirects, but never from https to a connection that anyone can change."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise DataError(f"{req.full_url}: redirects to {newurl:.80}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> Any:
    return build_opener(_SameScheme)


def _is_web_page(start: bytes) -> bool:
    return start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def _pause(stop: _Interrupted, failures: int) -> float:
    if stop.wait and stop.wait.isascii() and stop.wait.isdigit():
        return min(float(stop.wait), LONGEST_WAIT)
    return min(WAIT * 2 ** (failures - 1), LONGEST_WAIT)


def _says(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return f"no answer for {TIMEOUT:.0f} s"
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
