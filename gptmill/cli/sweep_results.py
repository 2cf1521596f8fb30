"""What a sweep ends with: the runs by their metric, the best as a command line, and a page."""

from __future__ import annotations

import json as json_format
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptmill.cli.compare import print_tables, read_all, write_page
from gptmill.cli.say import say
from gptmill.cli.studying import check
from gptmill.config.layers import Parts
from gptmill.config.translate import key_of
from gptmill.report.tables import NONE, Table, known
from gptmill.study.record import Result, Run
from gptmill.study.sweepfile import Sweep
from gptmill.units import duration

PAGE = "compare.html"
# Names of what can be compared, as trainers log it -> the field of a run's summary.
METRICS = {
    **dict.fromkeys(("val/loss", "val/ce_loss", "val_loss", "best_val_loss"), "best_val_loss"),
    **dict.fromkeys(("val/perplexity", "perplexity"), "perplexity"),
    **dict.fromkeys(("train/loss", "train_loss", "final_train_loss"), "final_train_loss"),
    **{"tokens_per_second": "tokens_per_second", "mfu": "mfu", "seconds": "seconds"},
}


def metric_of(asked: Sweep, result: Result) -> float | None:
    value = result.summary.get(METRICS[asked.metric])
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def ranked(asked: Sweep, results: Sequence[Result]) -> list[Result]:
    """The best first; those without the metric last."""
    sign = -1 if asked.maximize else 1

    def rank(result: Result) -> tuple[bool, float]:
        value = metric_of(asked, result)
        return value is None, sign * (value or 0.0)

    return sorted(results, key=rank)


def conclude(asked: Sweep, study: Path, results: Sequence[Result], parts: Parts, *, json: bool) -> None:
    """Tell what came out: the runs by their metric, the best as a command line, and a page."""
    order = ranked(asked, results)
    best = next((each for each in order if metric_of(asked, each) is not None), None)
    command = command_of(asked, best.run, parts) if best else None
    page = _page(study, [each.folder for each in results if each.state in ("finished", "stopped")])
    if json:
        print(json_format.dumps(as_json(asked, study, order, command), allow_nan=False))
        return
    if order:
        print_tables([ranking(asked, order)])
    if best and command:
        print(f"best: {best.run.id}, {asked.metric} {metric_of(asked, best):.4f}\n  {command}")
    say(f"study folder {study}", page)


def command_of(asked: Sweep, run: Run, parts: Parts) -> str:
    """What trains this run by itself, without the file's settings that a flag outranks."""
    (resolved,) = check([run], parts, origins_of(asked))
    decided = [
        f"--{each.name}={run.settings[each.name]}"
        for each in asked.parameters
        if resolved.origins.get(key_of(each.name), "").startswith(each.origin)
    ]
    return shlex.join(["gptmill", "train", *run.argv, *decided])


def ranking(asked: Sweep, order: Sequence[Result]) -> Table:
    varied = [each.name for each in asked.varied]
    rows = [
        [
            str(n) if metric_of(asked, each) is not None else NONE,
            each.run.id,
            *(str(each.run.settings.get(name)) for name in varied),
            known(metric_of(asked, each), "{:.4f}"),
            duration(each.summary["seconds"]) if each.summary.get("seconds") is not None else each.state,
        ]
        for n, each in enumerate(order, 1)
    ]
    goal = "highest" if asked.maximize else "lowest"
    return Table(f"Ranked by {asked.metric}, the {goal} first", ["", "run", *varied, asked.metric, "time"], rows, 2)


def as_json(asked: Sweep, study: Path, order: Sequence[Result], command: str | None) -> dict[str, Any]:
    return {
        "study_dir": str(study),
        "metric": asked.metric,
        "goal": "maximize" if asked.maximize else "minimize",
        "best_command": command,
        "runs": [
            {
                "id": each.run.id,
                "run_dir": str(each.folder),
                "settings": dict(each.run.settings),
                "state": each.state,
                "says": each.says,
                "value": metric_of(asked, each),
                "summary": each.summary,
            }
            for each in order
        ],
    }


def _page(study: Path, folders: Sequence[Path]) -> str | None:
    if not folders:
        return None
    from gptmill.report.compare import compare

    logs = read_all(folders)
    return write_page((study / PAGE).absolute(), logs, compare(logs), demanded=False)


def origins_of(asked: Sweep) -> dict[str, str]:
    return {each.name: each.origin for each in asked.parameters}
