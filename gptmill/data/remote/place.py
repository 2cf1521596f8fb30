"""Where a dataset's original files lie: beside its token files, put there by a person or by a download.

data/NAME/input.txt          a file a person put there is used as it is
data/NAME/.download/FILE     what was downloaded, and kept so that preparing again needs no network
data/NAME/.download/FILE.part  a download that goes on the next time
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gptmill import units
from gptmill.data.remote.files import Offline, RemoteFile
from gptmill.data.remote.hub import list_files, page
from gptmill.errors import DataError, TryAgain, UserError
from gptmill.plain import read_plain

Progress = Callable[[str, int, int | None], None]  # what is being fetched, bytes done, bytes in all where known
CHECKED = "checked.json"


@dataclass(frozen=True)
class Place:
    """A dataset's folder, and who wants to know how its downloads go."""

    folder: Path
    progress: Progress | None = None

    @property
    def downloads(self) -> Path:
        return self.folder / ".download"

    def given(self, *names: str) -> list[Path] | None:
        """The files of these names if a person put all of them into the dataset's folder."""
        paths = [self.folder / name for name in names]
        return paths if all(path.is_file() for path in paths) else None

    def file(self, file: RemoteFile) -> Path:
        """One published file, from the dataset's folder or downloaded; checked either way.

        Raises:
            DataError: there is no network (says what to fetch and where to put it), or the file is another one.
        """
        beside = self.folder / file.name
        if beside.is_file():
            self._check(beside, file)
            return beside
        return self._fetched([file], f"fetch {file.url} and put it there as {beside}")[0]

    def hub_files(
        self,
        repo: str,
        revision: str,
        folder: str,
        pattern: str,
        *,
        complete: int | None = None,
        all_now: bool = True,
        also: str = "",
    ) -> Iterable[Path]:
        """The files of a folder on the Hub whose names match, in the order of their names.

        Args:
            complete: how many there are; None where the names say it (..-of-00048).
            also: what else to put there by hand, for the line that says so.
            all_now: False fetches each one when it is reached: the first documents need the first file only.
        """
        what = f"the {complete or ''} files {_readable(pattern)} of {page(repo, revision, folder)}".replace("  ", " ")
        way_out = f"fetch {what} and put them into {self.downloads}{also and ', '}{also}"
        try:
            with self._alone():
                files = list_files(repo, revision, folder, pattern, self.downloads)
        except Offline as error:
            return self._by_hand(pattern, complete, f"{self.folder}: no network ({error}); {way_out}")
        return self._fetched(files, way_out) if all_now else _OneByOne(self, files, way_out)

    def _fetched(self, files: list[RemoteFile], way_out: str) -> list[Path]:
        from gptmill.data.remote.fetch import fetch

        with self._alone():
            self._make_room(files)
            paths = []
            for number, file in enumerate(files, 1):
                says = f"{file.name} ({number} of {len(files)})" if len(files) > 1 else file.name
                try:
                    path = fetch(file, self.downloads, self._told(says))
                except Offline as error:
                    raise DataError(f"{self.folder}: no network ({error}); {way_out}") from None
                self._check(path, file)
                paths.append(path)
            return paths

    def _told(self, says: str) -> Callable[[int, int | None], None] | None:
        tell = self.progress
        return (lambda done, total: tell(says, done, total)) if tell else None

    def _by_hand(self, pattern: str, complete: int | None, problem: str) -> list[Path]:
        found = sorted(path for path in self.downloads.glob("*") if re.fullmatch(pattern, path.name))
        of = re.search(r"-of-(\d+)", found[0].name) if found else None
        wanted = complete or (int(of[1]) if of else 1)
        if len(found) >= wanted:
            return found
        have = f" ({len(found)} of {wanted} are there)" if found else ""
        raise DataError(f"{problem}{have}")

    def _make_room(self, files: list[RemoteFile]) -> None:
        missing = 0
        for file in files:
            path = self.downloads / file.name
            part = path.with_name(f"{file.name}.part")
            have = path if path.exists() else part
            missing += max(0, (file.size or 0) - (have.stat().st_size if have.exists() else 0))
        free = shutil.disk_usage(self.downloads).free
        if missing > free:
            raise UserError(
                f"{self.downloads}: {units.size(missing)} are still to be downloaded and {units.size(free)} are free; "
                f"free space or choose --data_dir"
            )

    def _check(self, path: Path, file: RemoteFile) -> None:
        """Compare a file with what is published, once: reading 24 GB again each time would take minutes."""
        stat = path.stat()
        if file.size is not None and stat.st_size != file.size:
            raise DataError(
                f"{path}: {stat.st_size} bytes, {file.size} are published; delete it and fetch it again, or prepare "
                f"a text of your own: gptmill prepare --input FILE --name NAME"
            )
        if file.sha256 is None:
            return
        stamp = [os.path.realpath(path), stat.st_size, stat.st_mtime_ns, file.sha256]
        known = self._stamps()
        if stamp in known:
            return
        from gptmill.data.remote.fetch import sha256_of

        if sha256_of(path) != file.sha256:
            raise DataError(
                f"{path}: is not the published file (SHA-256 differs from {file.sha256[:12]}...); delete it and fetch it "
                f"again, or prepare a text of your own: gptmill prepare --input FILE --name NAME"
            )
        kept = [one for one in known if one[0] != stamp[0]] + [stamp]
        self.downloads.mkdir(parents=True, exist_ok=True)
        (self.downloads / CHECKED).write_text(json.dumps(kept), encoding="utf-8")

    def _stamps(self) -> list[list[object]]:
        try:
            found = json.loads(read_plain(self.downloads / CHECKED))
        except (OSError, ValueError, RecursionError):
            return []
        return found if isinstance(found, list) and all(isinstance(one, list) and one for one in found) else []

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two downloads into one .part would mix their bytes."""
        try:
            self.downloads.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.downloads, os.O_RDONLY)
        except OSError as error:
            raise UserError(f"{self.downloads}: cannot be used for downloads ({error.strerror})") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise TryAgain(f"{self.downloads}: another process is downloading this dataset; wait for it") from None
        finally:
            os.close(lock)


class _OneByOne(Iterable[Path]):
    """Fetches each file when it is reached; every pass gives the same."""

    def __init__(self, place: Place, files: list[RemoteFile], way_out: str) -> None:
        self._place, self._files, self._way_out = place, files, way_out

    def __iter__(self) -> Iterator[Path]:
        for file in self._files:
            yield from self._place._fetched([file], self._way_out)


def _readable(pattern: str) -> str:
    """A regular expression of ours as a person would write it."""
    always = re.sub(r"\(.*?\)\?", "", pattern)
    return re.sub(r"\\d\+", "*", always).replace("\\.", ".")
