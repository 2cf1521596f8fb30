"""A bar on stderr while a person is watching; silent otherwise."""

from __future__ import annotations

import sys


class Bar:
    """Use as a context manager; ``download``, ``encode`` and ``move`` are the callbacks that move it.

    Args:
        unit: what ``move`` counts; without it bytes.
    """

    def __init__(self, unit: str = "") -> None:
        self._unit = unit

    def __enter__(self) -> Bar:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        counts = (TextColumn("{task.completed:,.0f} " + self._unit),) if self._unit else (DownloadColumn(), Speed())
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *counts,
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._bar.start()
        self._what = ""
        return self

    def download(self, what: str, done: int, total: int | None) -> None:
        """Args: what: the file; done, total: [bytes]."""
        self.move(what, done, total)

    def move(self, what: str, done: int, total: int | None) -> None:
        """Args: total: None = not known."""
        if what != self._what:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._task = self._bar.add_task(what, total=total, completed=done)
            self._what = what
        self._bar.update(self._task, completed=done, total=total)

    def encode(self, done: int, total: int) -> None:
        """Args: done, total: [characters], which the bar shows as bytes: text is about one byte a character."""
        self.download("encoding", done, total)

    def __exit__(self, *failure: object) -> None:
        self._bar.stop()
