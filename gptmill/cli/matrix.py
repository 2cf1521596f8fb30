"""``gptmill matrix``: optimizers x pruning x sparsity, each a run, as a ``.config`` or flags say; results in one folder."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.compare import print_tables
from gptmill.cli.matrix_folder import CONFIG, KIND, PREFIX, existing, move_aside, unfinished
from gptmill.cli.matrix_results import as_json, ranking, write_results
from gptmill.cli.parts import Import, import_parts
from gptmill.cli.say import say
from gptmill.cli.studying import carry_out, check, foresee, foreseen_table, hold, prepare, require_places, split
from gptmill.config.dotconfig import read_dotconfig
from gptmill.config.files import find_config, text_of
from gptmill.config.resolve import Resolved
from gptmill.config.wording import config_error, nearest
from gptmill.durable import replace
from gptmill.errors import UserError
from gptmill.study.matrix import Axes, axes_of, cells
from gptmill.study.record import Result, Run, keep_runs, recorded, result

Flag = Annotated[bool, Parameter(negative="")]


@dataclass(frozen=True)
class Asked:
    """
    Args:
        origins: where each setting of the config was written.
        text: the config's; None when only a folder was named.
        jobs: how many runs at a time, if the config says.
    """

    runs: list[Run]
    origins: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    jobs: int | None = None


def matrix(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    optimizers: str | None = None,
    pruning: str | None = None,
    sparsities: str | None = None,
    out_dir: Path | None = None,
    output_dir: str = PREFIX,
    continue_dir: str | None = None,
    rerun_dir: str | None = None,
    summary: str | None = None,
    filter_optimizer: str | None = None,
    override_epochs: int | None = None,
    parallel: int | None = None,
    dry_run: Flag = False,
    stop_on_failure: Flag = False,
    json: Flag = False,
    verbose: Annotated[bool, Parameter(negative="", show=False)] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", show=False)] = False,
    import_: Import = None,
) -> int:
    """Train every combination of optimizers, pruning methods and sparsities. The same command again finishes the rest.

    Parameters
    ----------
    argv
        A config, for example gpt2-shakespeare-matrix or .config, and --key=value settings for all runs.
    optimizers
        Comma-separated, in place of the config's: adamw,sgd.
    pruning
        Pruning methods, comma-separated: none,magnitude.
    sparsities
        In percent, comma-separated: 50,70,90.
    out_dir
        The folder of the results; without it, test_matrix_results_TIME, or the newest one that is not finished.
    output_dir
        What that name begins with.
    continue_dir
        Go on with the runs of this folder; newest takes the newest.
    rerun_dir
        Train the runs of this folder anew; what they had is moved aside.
    summary
        Train nothing; write the results of this folder (or newest) again, and print them.
    filter_optimizer
        Only runs of these optimizers, comma-separated.
    override_epochs
        Passes over the text, in place of the config's.
    parallel
        Runs at a time; without it one on each GPU, and one on a CPU.
    dry_run
        List the runs with what they would take, and start none.
    stop_on_failure
        Start nothing more after a run failed.
    json
        Print one JSON object instead of a table.
    import_
        A Python module with parts of your own.
    """
    require_places(parallel)
    parts = import_parts(import_)
    known = next((name for name in (continue_dir, rerun_dir, summary) if name), None)
    if known:
        study = existing(known, output_dir)
        asked = Asked(recorded(study, KIND))
        if not asked.runs:
            raise UserError(f"{study}: no results of a matrix; name a folder that gptmill matrix made")
    else:
        asked = asked_for(argv, optimizers, pruning, sparsities, override_epochs)
        study = out_dir or unfinished(output_dir, asked.runs) or Path(f"{output_dir}_{datetime.now():%Y%m%d_%H%M%S}")
    chosen = filtered(asked.runs, filter_optimizer)
    if summary:
        return conclude(study, [result(study, run) for run in chosen], json=json)
    resolved = check(chosen, parts, asked.origins)
    if dry_run:
        return list_runs(study, chosen, resolved, again=rerun_dir is not None)
    prepare(resolved)
    hold(study)
    if asked.text is not None:
        keep_runs(study, KIND, asked.runs)
        replace(study / CONFIG, asked.text.encode())
    if rerun_dir:
        move_aside(study, chosen)
    _, code = carry_out(
        study,
        chosen,
        n_runs=len(chosen),
        resolved=resolved,
        parallel=parallel or asked.jobs,
        import_=import_,
        stop_on_failure=stop_on_failure,
    )
    conclude(study, [result(study, run) for run in asked.runs], json=json)
    return code


def asked_for(
    argv: Sequence[str], optimizers: str | None, pruning: str | None, sparsities: str | None, epochs: int | None
) -> Asked:
    """What a config and flags ask for.

    Raises:
        ConfigError: what is wrong with the config, or an axis without values.
    """
    configs, flags = split(argv)
    if not configs:
        raise UserError("gptmill matrix: name a config, for example gpt2-shakespeare-matrix or .config")
    found = find_config(configs[0])
    text = text_of(found)
    symbols: dict[str, str | bool] = {}
    settings: dict[str, str | None] = {}
    origins: dict[str, str] = {}
    if found.shown.endswith(".config"):
        reading = read_dotconfig(text, found.shown, symbols)
        if reading.problems:
            raise config_error(reading.problems)
        say(*reading.notices)
        settings = {name: None if each.value is None else str(each.value) for name, each in reading.layer.items()}
        origins = {name: each.origin for name, each in reading.layer.items()}
        configs = configs[1:]
    axes = axes_of(found.shown, symbols, settings)
    axes = Axes(
        axes.models,
        _words(optimizers) or axes.optimizers,
        _words(pruning) or axes.methods,
        _percents(sparsities) or axes.percents,
    )
    if not (optimizers or pruning or sparsities or symbols):
        says = "varies nothing; add --optimizers=adamw,... --pruning=none,... --sparsities=50,..."
        raise UserError(f"{found.shown}: {says}")
    if epochs is not None:
        flags.append(f"--epochs={epochs}")
    runs = [cell.run([*configs, *flags], settings) for cell in cells(axes)]
    if not runs:
        raise UserError(f"{found.shown}: no combination means anything: state pruning goes with adamwprune only")
    jobs = str(symbols.get("PARALLEL_JOBS", "1"))
    return Asked(runs, origins, text, int(jobs) if jobs.isdecimal() and int(jobs) > 1 else None)


def _percents(text: str | None) -> tuple[float, ...]:
    try:
        percents = tuple(float(word) for word in _words(text))
    except ValueError:
        raise UserError(f"--sparsities={text}: must be percentages, comma-separated: 50,70") from None
    if any(not 0 < percent < 100 for percent in percents):
        raise UserError(f"--sparsities={text}: must lie between 0 and 100 percent")
    return percents


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in (text or "").split(",") if word.strip()))


def filtered(runs: list[Run], optimizers: str | None) -> list[Run]:
    """Those of some optimizers only."""
    if not optimizers:
        return runs
    wanted, there = _words(optimizers), {optimizer_of(run) for run in runs}
    problems = [
        f"--filter_optimizer={name}: no run has it; those here: {', '.join(sorted(there))}{nearest(name, there)}"
        for name in wanted
        if name not in there
    ]
    if problems:
        raise UserError(*problems)
    return [run for run in runs if optimizer_of(run) in wanted]


def optimizer_of(run: Run) -> str:
    return next(word.partition("=")[2] for word in reversed(run.argv) if word.startswith("--optimizer="))


def list_runs(study: Path, runs: list[Run], resolved: list[Resolved], *, again: bool) -> int:
    """Print what is left to train, and what it would take.

    Args:
        again: those that are finished too.
    """
    left = [(run, each) for run, each in zip(runs, resolved) if again or result(study, run).state != "finished"]
    print_tables([foreseen_table(foresee([run for run, _ in left], [each for _, each in left]))])
    if len(left) < len(runs):
        say(f"{len(runs) - len(left)} of {len(runs)} are finished in {study}")
    return 0


def conclude(study: Path, results: Sequence[Result], *, json: bool) -> int:
    """Write the results and print them."""
    if not any(each.state == "finished" for each in results):
        say(f"results folder {study}: no run is finished")
        return 0
    found = write_results(study, results)
    if json:
        print(json_format.dumps(as_json(study, found), allow_nan=False))
    else:
        print_tables([ranking(found)])
    say(f"results folder {study}")
    return 0
