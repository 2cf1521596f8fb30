"""Trackers that misbehave in a process of their own; ``start`` tells them where to leave traces."""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Diary:
    """Keeps every line it is given; tells its pid first."""

    def __init__(self, start: dict[str, Any], say: Callable[[str], None]) -> None:
        self._file = open(Path(start["folder"]) / "diary.jsonl", "a")  # noqa: SIM115
        self._wait_for = Path(start["wait_for"]) if "wait_for" in start else None
        (Path(start["folder"]) / "pid").write_text(str(os.getpid()))

    def __call__(self, fields: dict[str, Any]) -> None:
        while self._wait_for and not self._wait_for.exists():
            time.sleep(0.01)
        self._file.write(json.dumps(fields) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.write('{"event": "closed"}\n')
        self._file.close()


class RefusesToStart(Diary):
    def __init__(self, start: dict[str, Any], say: Callable[[str], None]) -> None:
        raise ConnectionError("no route\nto host")


class RefusesLines(Diary):
    def __call__(self, fields: dict[str, Any]) -> None:
        raise ValueError(f"no {fields['event']}")


class RefusesToEnd(Diary):
    def close(self) -> None:
        raise OSError("disk full")


class Exits(Diary):
    def __call__(self, fields: dict[str, Any]) -> None:
        raise SystemExit(0)


class Crashes(Diary):
    def __call__(self, fields: dict[str, Any]) -> None:
        os.abort()


class Prints(Diary):
    def __call__(self, fields: dict[str, Any]) -> None:
        super().__call__(fields)
        os.write(1, b"off: to stdout\n" * 10_000)
        os.write(2, b"off: to stderr\n" * 10_000)
        assert os.read(0, 1) == b"", "nothing to be had from stdin"


class HangsAtStart(Diary):
    def __init__(self, start: dict[str, Any], say: Callable[[str], None]) -> None:
        super().__init__(start, say)
        time.sleep(60)


class HangsOnLines(Diary):
    def __call__(self, fields: dict[str, Any]) -> None:
        time.sleep(60)


class HangsAtTheEnd(Diary):
    def close(self) -> None:
        time.sleep(60)


class LeavesThreadsAndHooksBehind(Diary):
    """What a library with a background service does: the interpreter waits for both."""

    def close(self) -> None:
        threading.Thread(target=time.sleep, args=(60,)).start()
        atexit.register(time.sleep, 60)
