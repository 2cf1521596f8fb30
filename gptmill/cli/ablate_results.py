"""What an ablation ends with: verdicts in a table and a sentence each, a page, and the same as JSON."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gptmill.cli.arms import Settled
from gptmill.cli.compare import print_tables
from gptmill.cli.report import save
from gptmill.cli.say import say
from gptmill.durable import canonical_json
from gptmill.errors import GptmillError
from gptmill.study.design import Design, folder_of
from gptmill.study.record import Result

PAGE, RESULT = Path("ablation.html"), "ablation.json"


def conclude(
    design: Design,
    settled: Sequence[Settled],
    study: Path,
    results: Sequence[Result],
    seeds: list[int],
    command: str,
    page: Path | None,
    *,
    json: bool,
) -> None:
    """Tell what may be said of each arm: a table and a sentence each, a page, and the same as JSON in the study's folder."""
    from gptmill.report.runlog import read_run
    from gptmill.study.outcome import outcome
    from gptmill.study.page import study_page
    from gptmill.study.tables import tables
    from gptmill.track.describe import is_run

    folders = {each.arm.name: {seed: study / folder_of(each.arm.name, seed) for seed in seeds} for each in settled}
    logs = {
        arm: {seed: read_run(path) for seed, path in paths.items() if is_run(path)} for arm, paths in folders.items()
    }
    ended = {result.folder: result.says for result in results if result.state == "failed"}
    failed = {
        arm: {seed: ended[path] for seed, path in paths.items() if path in ended} for arm, paths in folders.items()
    }
    found: dict[str, Any] = {"command": command, "study_dir": str(study), **outcome(design, logs, failed, seeds)}
    add_noise(found, folders)
    save(study / RESULT, canonical_json(found), "--out_dir")
    target = page or (study / PAGE).absolute()
    try:
        save(target, study_page(found, logs, command=command), "--out")
        written = f"page: {page or study / PAGE}"
    except GptmillError as error:
        if page is not None:
            raise
        written = f"no {PAGE}: {error}"
    if json:
        print(json_format.dumps(found, allow_nan=False))
    else:
        print_tables(tables(found))
        print("\n".join(f"{arm['arm']}: {arm['says']}" for arm in found["arms"] if arm["verdict"] != "baseline"))
    say(f"study folder {study}", written)


def add_noise(found: dict[str, Any], folders: Mapping[str, Mapping[int, Path]]) -> None:
    """Tell of each arm how far the choice of validation text moves its difference: one pair speaks for all."""
    from gptmill.cli.evalnoise import evaluation_noise

    partly = found["evaluation"] is not None and found["evaluation"]["share"] < 1
    base, *others = found["arms"]
    for arm in others:
        done = [{run["seed"] for run in each["runs"] if run["finished"]} for each in (arm, base)]
        both = sorted(set.intersection(*done))
        pair = (folders[arm["arm"]][both[0]], folders[base["arm"]][both[0]]) if both else None
        arm["evaluation_noise"] = (evaluation_noise(*pair) if partly else 0.0) if pair else None
