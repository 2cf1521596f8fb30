"""How a study goes: a bar on stderr while a person is watching, and in any case a line for each run that ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gptmill.cli.foresight import runs_in_words
from gptmill.study.record import Result
from gptmill.study.standing import Standing
from gptmill.units import duration


class StudyBar:
    """Use as a context manager, and call it with how far the study is.

    Args:
        headline: what to say of a run that finished.
    """

    def __init__(self, n_runs: int, headline: Callable[[Result], str]) -> None:
        self._n_runs, self._headline = n_runs, headline
        self._told = 0
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[says]}"),
            console=Console(file=sys.stderr, highlight=False),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._tasks = {"": self._bar.add_task(runs_in_words(self._n_runs), total=self._n_runs, says="")}
        self._bar.start()
        return self

    def __call__(self, standing: Standing) -> None:
        left = standing.left(self._n_runs)
        rest = "" if left is None else f"about {duration(left)} left"
        for says in standing.notices:
            self.tell(says)
        for result in standing.ended[self._told :]:
            self._told += 1
            later = f"; {rest}" if rest and self._told < self._n_runs else ""
            self._print(f"{self._told}/{self._n_runs} {result.run.id}: {self._says(result)}{later}")
        self._draw(standing, rest)

    def tell(self, line: str) -> None:
        """A line that is said once."""
        if line not in self._said:
            self._said.add(line)
            self._print(line)

    def _says(self, result: Result) -> str:
        return self._headline(result) if result.state == "finished" else f"{result.state}: {result.says}"

    def _draw(self, standing: Standing, rest: str) -> None:
        done = len(standing.ended) + sum(each.share for each in standing.going)
        self._bar.update(self._tasks[""], completed=done, total=max(self._n_runs, len(standing.ended)), says=rest)
        going = {each.run.id: each for each in standing.going}
        for id in [id for id in self._tasks if id and id not in going]:
            self._bar.remove_task(self._tasks.pop(id))
        for id, each in going.items():
            if id not in self._tasks:
                self._tasks[id] = self._bar.add_task(f"  {id}", total=1.0, says="")
            says = f"step {each.iter:,} of {each.max_iters:,}" if each.iter and each.max_iters else "starting"
            self._bar.update(self._tasks[id], completed=each.share, says=says)

    def _print(self, line: str) -> None:
        self._bar.console.print(line, markup=False, soft_wrap=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
