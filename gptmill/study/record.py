"""What a study is made of, and how far it is: read from its folder, where nothing else is kept.

STUDY/study.json   the runs that were asked for
STUDY/ID.yaml      of a sweep, the settings of each
STUDY/ID/          the run folder of each, as gptmill train leaves it: its own metrics.jsonl says whether it is finished
STUDY/ID/output.log, error.txt   what its process printed; how it failed
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gptmill.durable import canonical_json, replace
from gptmill.errors import UserError
from gptmill.plain import open_plain, read_plain
from gptmill.track.describe import is_run
from gptmill.track.jsonl import finished

STUDY = "study.json"
FORMAT = "gptmill-study"
OUTPUT, ERROR = "output.log", "error.txt"
STOPPED = "stopped.json"  # why the study ended a run that was not finished
TAIL = 65536  # bytes of an output in which its last line is looked for

State = Literal["new", "unfinished", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Args:
        id: names its folder.
        argv: what ``gptmill train`` is given, without the run folder.
        settings: what is given besides as a config file, STUDY/ID.yaml, which the flags of ``argv`` outrank.
    """

    id: str
    argv: tuple[str, ...]
    settings: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """All of it as a person would type it."""
        return [*self.argv, *(f"--{name}={value}" for name, value in self.settings.items())]


@dataclass(frozen=True)
class Result:
    """How far a run is.

    Args:
        summary: what ``gptmill train --json`` printed; empty while it is not finished.
        says: of a run that failed or was stopped, why.
    """

    run: Run
    folder: Path
    state: State
    summary: dict[str, Any]
    says: str = ""


def result(study: Path, run: Run) -> Result:
    """What the run's own folder says of it."""
    folder = study / run.id
    if (done := finished(folder)) is not None:
        summary = done.get("summary")
        return Result(run, folder, "finished", summary if isinstance(summary, dict) else {})
    if (folder / STOPPED).exists():
        return Result(run, folder, "stopped", {}, _told(folder / STOPPED))
    if (folder / ERROR).exists():
        return Result(run, folder, "failed", {}, last_line(folder / ERROR))
    return Result(run, folder, "unfinished" if is_run(folder) else "new", {})


def keep_runs(study: Path, kind: str, runs: Sequence[Run]) -> None:
    """Put the runs on record; those that are there must be the same, others may be added.

    Raises:
        UserError: the folder holds something else, or one of the runs was asked for with other settings.
    """
    before = {run.id: run for run in recorded(study, kind)}
    for run in runs:
        if before.get(run.id, run) != run:
            old, now = before[run.id].words, run.words
            gone = shlex.join(word for word in old if word not in now) or "nothing"
            new = shlex.join(word for word in now if word not in old) or "nothing"
            raise UserError(
                f"{study / run.id}: was asked for with {gone} and now with {new}, which would be another run; "
                "give another --out_dir"
            )
    together = before | {run.id: run for run in runs}
    if together != before or not (study / STUDY).exists():
        listed = [{"id": r.id, "argv": list(r.argv), "settings": dict(r.settings)} for r in together.values()]
        replace(study / STUDY, canonical_json({"format": FORMAT, "kind": kind, "runs": listed}))


def recorded(study: Path, kind: str) -> list[Run]:
    """The runs that the study's record lists, in the order they were asked for; none while there is no record.

    Raises:
        UserError: the record is damaged, or that of another kind of study.
    """
    try:
        found = json.loads(read_plain(study / STUDY))
        if found["format"] != FORMAT:
            raise ValueError
        if found["kind"] != kind:
            raise UserError(f"{study}: holds a study of another kind ({found['kind']}); give another --out_dir")
        return [Run(str(run["id"]), tuple(map(str, run["argv"])), dict(run["settings"])) for run in found["runs"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise UserError(
            f"{study / STUDY}: cannot be read; put it back from a copy, or give another --out_dir"
        ) from None


def last_line(path: Path) -> str:
    """The last line of a text that says something: an error rather than what was printed after it."""
    try:
        with open_plain(path) as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read(TAIL).decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.startswith("error: ")]
    return (errors or said or [""])[-1]


def _told(path: Path) -> str:
    try:
        return str(json.loads(read_plain(path))["says"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "stopped early"
