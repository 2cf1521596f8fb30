"""``gptmill ablate``: which of some changes is worth having, found with several seeds of each and said with its doubt."""

from __future__ import annotations

import json as json_format
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gptmill.cli.arms import Settled, in_turn, pace_runs, paces_of, runs_of, same_settings, seeds_of, settle
from gptmill.cli.compare import print_tables
from gptmill.cli.parts import Import, import_parts
from gptmill.cli.report import save, writable
from gptmill.cli.say import say
from gptmill.cli.studying import carry_out, check, foresee, foreseen_table, hold, prepare, split
from gptmill.config.files import find_config, text_of
from gptmill.config.layers import Parts
from gptmill.config.yamlfile import ARMS
from gptmill.config.yamltree import read_tree
from gptmill.durable import canonical_json
from gptmill.errors import GptmillError, UserError
from gptmill.study.design import (
    Design,
    positive_number,
    read_design,
    view_named,
    whole_number,
)
from gptmill.study.design import (
    vary as varied,
)
from gptmill.study.record import Result, keep_runs
from gptmill.study.statistics import require_scipy

Flag = Annotated[bool, Parameter(negative="")]
KIND = "ablation"
PAGE, RESULT = Path("ablation.html"), "ablation.json"


def ablate(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    vary: Annotated[list[str] | None, Parameter(negative="")] = None,
    seeds: str | None = None,
    view: str | None = None,
    detect: str | None = None,
    drop_hopeless: Flag = False,
    out_dir: Path | None = None,
    parallel: int | None = None,
    dry_run: Flag = False,
    stop_on_failure: Flag = False,
    json: Flag = False,
    out: Path | None = None,
    import_: Import = None,
) -> int:
    """Train every arm of a study with the same seeds, and say which differ from the baseline. The same command goes on.

    Parameters
    ----------
    argv
        A study file (a path, or a name such as ablate_gpt2_to_llama), or configs; then --key=value settings for all arms.
    vary
        KEY=VALUE,VALUE: an arm for each value, one setting at a time, beside the config as it is.
    seeds
        Runs of each arm; 5 if nothing else is said, 3 the least that allow a verdict.
    view
        What all arms may spend as much of as the baseline: tokens, flops or time (the pace is measured first).
    detect
        The difference worth seeing [nats/token], 0.01 if nothing else is said: for the hint how many seeds it takes.
    drop_hopeless
        Run no further seeds of an arm that is surely worse after three; it gets no verdict then.
    out_dir
        The folder of the run folders; without it out-NAME after the study file, or out-ablate.
    parallel
        Runs at a time; without it one on each GPU, and one on a CPU.
    dry_run
        List the runs with what they would take, and start none.
    stop_on_failure
        Start nothing more after a run failed.
    json
        Print one JSON object instead of tables.
    out
        The HTML page to write; without it, ablation.html in the folder of the study.
    import_
        A Python module with parts of your own.
    """
    configs, flags = split(argv)
    parts = import_parts(import_)
    design, name = asked_for(configs, flags, vary or [], parts)
    design = replace(
        design,
        seeds=design.seeds if seeds is None else whole_number(seeds, "--seeds"),
        view=design.view if view is None else view_named(view, "--view"),
        detect=design.detect if detect is None else positive_number(detect, "--detect"),
        drop_hopeless=design.drop_hopeless or drop_hopeless,
    )
    if design.view == "time" and (parallel or 1) > 1:
        raise UserError(f"--parallel={parallel}: runs beside each other slow each other; leave it out with --view=time")
    settled = settle(design, parts)
    resolved = [each.resolved for each in settled]
    numbers = seeds_of(settled, design.seeds)
    if dry_run:
        runs = runs_of(design, settled, numbers, dict.fromkeys([arm.name for arm in design.arms], 1.0))
        if design.view == "time":
            say("steps as if all arms had one pace; it is measured before the first run")
        print_tables([foreseen_table(foresee(runs, check(runs, parts)))])
        return 0
    require_scipy()
    study = out_dir or Path(f"out-{name}")
    page = writable(out, "--out") if out is not None else None
    prepare(resolved)
    hold(study)
    paces, code = measured_paces(design, settled, study, import_) if design.view == "time" else ({}, 0)
    if code:
        return code
    runs = runs_of(design, settled, numbers, paces)
    keep_runs(study, KIND, runs)
    results, code = carry_out(
        study,
        in_turn(design, study, runs, numbers),
        n_runs=len(runs),
        resolved=resolved,
        parallel=parallel,
        import_=import_,
        stop_on_failure=stop_on_failure,
    )
    if code >= 128:
        return code
    options = [f"--vary={option}" for option in vary or []]
    options += [f"--{key}={value}" for key, value in (("seeds", seeds), ("view", view), ("detect", detect)) if value]
    command = shlex.join(["gptmill", "ablate", *argv, *options, *(["--drop_hopeless"] if drop_hopeless else [])])
    conclude(design, settled, study, results, numbers, command, page, json=json)
    return code


def measured_paces(
    design: Design, settled: Sequence[Settled], study: Path, import_: Import
) -> tuple[dict[str, float], int]:
    """Seconds of a step by arm, from short runs one after the other; and the exit code, 0 when all is known."""
    short = pace_runs(design, settled)
    results, code = carry_out(
        study,
        short,
        n_runs=len(short),
        resolved=[s.resolved for s in settled],
        parallel=1,
        import_=import_,
        headline=pace,
    )
    return paces_of(settled, results), code


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


def pace(result: Result) -> str:
    speed = result.summary.get("tokens_per_second")
    return f"{speed:,.0f} tokens/s" if isinstance(speed, int | float) else "no pace"


def asked_for(configs: Sequence[str], flags: Sequence[str], options: Sequence[str], parts: Parts) -> tuple[Design, str]:
    """The design, and what to call its folder.

    Raises:
        UserError: neither a study file nor anything to vary, or both.
    """
    texts = {name: text_of(found) for name in configs if (found := find_config(name)).shown.endswith((".yaml", ".yml"))}
    studies = [name for name, text in texts.items() if ARMS.search(text)]
    if not studies:
        if not options:
            raise UserError(
                "gptmill ablate: nothing to compare; add --vary KEY=VALUE,VALUE, or name a study such as ablate_gpt2_to_llama"
            )
        base = [*configs, *flags]
        return varied(options, base, same_settings(base, parts)), "ablate"
    if options or len(configs) > 1:
        more = f"--vary {options[0]}" if options else next(name for name in configs if name != studies[0])
        raise UserError(f"{more}: {studies[0]} is a study, which names its own configs and arms; leave one of them out")
    found = find_config(studies[0])
    design = read_design(read_tree(texts[studies[0]], found.shown), found.shown)
    return replace(design, base=(*design.base, *flags)), Path(found.shown).stem


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
    from gptmill.study.design import folder_of
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
