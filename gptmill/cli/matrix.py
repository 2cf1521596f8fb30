"""``gptmill matrix``: optimizers x pruning x sparsity, each a run, as a ``.config`` or flags say; results in one folder."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.compare import print_tables
from gptmill.cli.foresight import list_runs
from gptmill.cli.matrix_asked import AS_WRITTEN, Asked, Varied, asked_for, filtered
from gptmill.cli.matrix_folder import CONFIG, HERE, KIND, Folders, existing, fresh, move_aside, unfinished
from gptmill.cli.matrix_results import as_json, ranking, write_results
from gptmill.cli.own_parts import import_parts
from gptmill.cli.say import say
from gptmill.cli.study_options import UNASKED, StudyOptions
from gptmill.cli.studying import carry_out, check, hold, places_for, prepare, split
from gptmill.config.layers import Parts
from gptmill.config.resolve import Resolved
from gptmill.durable import replace as replace_file
from gptmill.errors import UserError
from gptmill.study.record import Result, Run, keep_runs, recorded, result


def matrix(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    varied: Varied = AS_WRITTEN,
    folders: Folders = HERE,
    filter_optimizer: str | None = None,
    options: StudyOptions = UNASKED,
    verbose: Annotated[bool, Parameter(negative="", show=False)] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", show=False)] = False,
) -> int:
    """Train every combination of optimizers, pruning methods and sparsities. The same command again finishes the rest.

    Parameters
    ----------
    argv
        A config, for example gpt2-shakespeare-matrix or .config, and --key=value settings for all runs.
    filter_optimizer
        Only runs of these optimizers, comma-separated.
    """
    options.check()
    parts = import_parts(options.import_)
    study, asked = found_or_asked(argv, varied, folders, parts)
    chosen = filtered(asked.runs, filter_optimizer)
    if folders.summary:
        return conclude(study, [result(study, run) for run in chosen], json=options.json)
    resolved = check(chosen, parts, asked.origins)
    options = replace(options, parallel=options.parallel or asked.jobs)
    if options.dry_run:
        return list_left(study, chosen, resolved, options, again=folders.rerun_dir is not None)
    prepare(resolved)
    hold(study)
    if asked.text is not None:
        keep_runs(study, KIND, asked.runs)
        replace_file(study / CONFIG, asked.text.encode())
    if folders.rerun_dir:
        move_aside(study, chosen)
    _, code = carry_out(study, chosen, options=options, n_runs=len(chosen), resolved=resolved)
    conclude(study, [result(study, run) for run in asked.runs], json=options.json)
    return code


def found_or_asked(argv: Sequence[str], varied: Varied, folders: Folders, parts: Parts) -> tuple[Path, Asked]:
    """The results folder, and its runs: those on its record, or those that the command line asks for."""
    if (option := folders.named()) is None:
        asked = asked_for(*split(argv, matrix), varied, parts)
        study = folders.out_dir or unfinished(folders.output_dir, asked.runs) or fresh(folders.output_dir)
        return study, asked
    if argv or varied != AS_WRITTEN:
        more = argv[0] if argv else "what is to vary"
        raise UserError(f"--{option}: its runs stay as they were asked for; leave {more} out, or --{option}")
    study = existing(getattr(folders, option), folders.output_dir)
    asked = Asked(recorded(study, KIND))
    if not asked.runs:
        raise UserError(f"{study}: no results of a matrix; name a folder that gptmill matrix made")
    return study, asked


def list_left(study: Path, runs: list[Run], resolved: list[Resolved], options: StudyOptions, *, again: bool) -> int:
    """Print what is left to train, and what it would take.

    Args:
        again: those that are finished too.
    """
    left = [(run, each) for run, each in zip(runs, resolved) if again or result(study, run).state != "finished"]
    if len(left) < len(runs):
        say(f"{len(runs) - len(left)} of {len(runs)} are finished in {study}")
    places, _ = places_for(options.parallel, resolved)
    return list_runs([run for run, _ in left], [each for _, each in left], places=places, json=options.json)


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
