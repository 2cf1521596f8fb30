"""The runs of a sweep as they are wanted one by one: listed beforehand, or each suggested by those before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gptmill.study.bayes import suggest
from gptmill.study.choose import numbered
from gptmill.study.hyperband import to_stop
from gptmill.study.record import Result, Run, keep_runs, recorded, result
from gptmill.study.standing import Standing
from gptmill.study.sweepfile import Bands, Sweep
from gptmill.track.jsonl import read_events

MetricOf = Callable[[Result], float | None]
PAUSE = 2.0  # seconds between two looks at the losses of runs that may be stopped


def suggested(
    asked: Sweep, study: Path, kind: str, argv: tuple[str, ...], n: int, metric: MetricOf, seed: int
) -> Iterator[Run]:
    """``n`` runs, each put on record before it starts; those on record come again as they were."""
    known = recorded(study, kind)
    for number in range(1, n + 1):
        if number > len(known):
            settings = suggest(
                asked.parameters,
                [
                    (run.settings, metric(each := result(study, run)), each.state in ("new", "unfinished"))
                    for run in known
                ],
                maximize=asked.maximize,
                seed=seed + number,
            )
            known.append(Run(numbered(number), argv, settings))
            keep_runs(study, kind, known)
        yield known[number - 1]


def until_reached(asked: Sweep, study: Path, runs: Iterable[Run], metric: MetricOf) -> Iterator[Run]:
    """The runs, as long as none of those before has reached the metric's target."""
    begun: list[Run] = []
    for run in runs:
        if asked.target is not None and any(_reaches(asked, metric(result(study, each))) for each in begun):
            return
        begun.append(run)
        yield run


def _reaches(asked: Sweep, value: float | None) -> bool:
    if value is None or asked.target is None:
        return False
    return value >= asked.target if asked.maximize else value <= asked.target


class Stopper:
    """Names runs to stop early; give it to the Runner as its ``watch``."""

    def __init__(self, bands: Bands, study: Path) -> None:
        self.bands, self.study = bands, study
        self._looked = 0.0
        self._ended: dict[str, list[float]] = {}

    def __call__(self, standing: Standing) -> dict[str, str]:
        if time.monotonic() - self._looked < PAUSE:
            return {}
        self._looked = time.monotonic()
        for each in standing.ended:
            if each.run.id not in self._ended:
                self._ended[each.run.id] = losses(each.folder)
        going = [each.run.id for each in standing.going]
        return to_stop(self.bands, self._ended | {id: losses(self.study / id) for id in going}, going)


def losses(run_dir: Path) -> list[float]:
    """Validation losses of a run, by step."""
    found = {}
    for fields in read_events(run_dir):
        if fields["event"] == "eval_done" and isinstance(fields.get("val_loss"), float):
            found[fields["iter"]] = fields["val_loss"]
    return [loss for _, loss in sorted(found.items())]
