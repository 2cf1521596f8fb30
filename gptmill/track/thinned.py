"""Lists that stay short however long the run."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from typing import Any, NamedTuple

from gptmill.track.records import without_nan

LIMIT = 2000  # listed: about 2 MB of text


class Entry(NamedTuple):
    """One element of a list in the file, as its text, and what averages need of it."""

    iter: int
    text: str
    time_ms: float | None
    mfu: float | None


class Thinned:
    """A list that stays short: every ``stride``-th of what was added."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._iters = array("q")  # of all that were added: 8 bytes each
        self.entries: list[Entry] = []
        self.stride = 1

    @property
    def total(self) -> int:
        return len(self._iters)

    def add(self, iter: int, entry: dict[str, Any], time_ms: float | None = None, mfu: float | None = None) -> None:
        if self.total % self.stride == 0:
            self.entries.append(Entry(iter, strict_json(entry), time_ms, mfu))
        self._iters.append(iter)
        if len(self.entries) > self._limit:
            del self.entries[1::2]
            self.stride *= 2

    def forget_after(self, iter: int) -> None:
        del self._iters[bisect_right(self._iters, iter) :]
        del self.entries[bisect_right(self.entries, iter, key=lambda entry: entry.iter) :]

    def text(self) -> str:
        return "[\n" + ",\n".join(entry.text for entry in self.entries) + "\n]" if self.entries else "[]"


def strict_json(entry: dict[str, Any]) -> str:
    try:
        return json.dumps(entry, allow_nan=False)
    except ValueError:  # a line that was not ours
        return json.dumps(without_nan(entry))
