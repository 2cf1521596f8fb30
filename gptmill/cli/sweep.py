"""``gptmill sweep``: a sweep file of Weights & Biases, carried out on this machine without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.foresight import foresee_plan, list_runs
from gptmill.cli.own_parts import import_parts
from gptmill.cli.study_options import UNASKED, StudyOptions
from gptmill.cli.studying import carry_out, check, hold, places_for, prepare, split
from gptmill.cli.sweep_results import METRICS, conclude, metric_of, origins_of
from gptmill.config.files import find_config, text_of
from gptmill.config.resolve import Resolved
from gptmill.config.translate import key_of
from gptmill.errors import UserError
from gptmill.plan.time import evaluations
from gptmill.plan.types import Plan
from gptmill.report.tables import known
from gptmill.study.bayes import require_optuna
from gptmill.study.choose import all_combinations, corners, drawn, named_runs, numbered
from gptmill.study.parameters import MOST
from gptmill.study.record import Result, Run, keep_runs
from gptmill.study.search import Stopper, suggested, until_reached
from gptmill.study.sweepfile import Sweep, read_sweep

KIND = "sweep"
SEED = 1337  # of what is drawn; the runs have a seed of their own


@dataclass(frozen=True)
class Asked:
    """
    Args:
        base: configs and flags of all runs.
        most: runs at most; None: all of a grid.
    """

    sweep: Sweep
    base: tuple[str, ...]
    most: int | None


def sweep(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    out_dir: Path | None = None,
    count: int | None = None,
    project: str | None = None,
    entity: str | None = None,
    init_only: Annotated[bool, Parameter(negative="", show=False)] = False,
    options: StudyOptions = UNASKED,
) -> int:
    """Carry out a W&B sweep file here: every run in its own folder, ranked at the end. The same command again goes on.

    Parameters
    ----------
    argv
        The sweep file, then configs and --key=value settings for all runs; these outrank what the file fixes.
    out_dir
        The folder of the run folders; without it, out-NAME after the file.
    count
        At most so many runs.
    project
        W&B's project, for runs that log there.
    entity
        W&B's user or team.
    """
    options.check()
    asked = asked_for(argv, count, project, entity)
    parts = import_parts(options.import_)
    runs = listed_runs(asked)
    resolved = check(runs, parts, origins_of(asked.sweep))
    require_evaluations(asked.sweep, resolved)
    if options.dry_run or init_only:
        return foretell(asked, runs, resolved, options)
    prepare(resolved)
    study = out_dir or Path(f"out-{Path(asked.sweep.path).stem}")
    hold(study)
    results, code = train_all(asked, study, runs, resolved, options)
    conclude(asked.sweep, study, results, parts, json=options.json)
    return code


def asked_for(argv: Sequence[str], count: int | None, project: str | None, entity: str | None) -> Asked:
    """What a sweep file and the words after it ask for.

    Raises:
        UserError: what is wrong with either, but for the keys and values of runs.
    """
    if count is not None and not 1 <= count <= MOST:
        raise UserError(f"--count={count}: must be at least 1, and at most {MOST:,}")
    configs, flags = split(argv, sweep)
    if not configs:
        raise UserError("gptmill sweep: name a sweep file, for example configs/sweep_lambda_openwebtext.yaml")
    found = find_config(configs[0])
    asked = read_sweep(text_of(found), found.shown, METRICS)
    names = {"wandb_project": project or asked.project, "wandb_entity": entity or asked.entity}
    flags += [f"--{key}={value}" for key, value in names.items() if value and not _given(key, flags)]
    _require_free(asked, flags)
    _require_loss(asked)
    return Asked(asked, (*configs[1:], *asked.fixed, *flags), most(asked, count))


def train_all(
    asked: Asked, study: Path, runs: list[Run], resolved: Sequence[Resolved], options: StudyOptions
) -> tuple[list[Result], int]:
    """What became of every run, and the exit code."""
    wanted = asked.sweep

    def metric(result: Result) -> float | None:
        return metric_of(wanted, result)

    coming: Iterable[Run] = runs
    if wanted.method == "bayes":
        coming = suggested(wanted, study, KIND, asked.base, asked.most or 0, metric, SEED)
    else:
        keep_runs(study, KIND, runs)
    return carry_out(
        study,
        until_reached(wanted, study, coming, metric),
        options=options,
        n_runs=asked.most or len(runs),
        resolved=resolved,
        headline=lambda result: f"{wanted.metric} {known(metric(result), '{:.4f}')}",
        watch=Stopper(wanted.bands, study) if wanted.bands else lambda _: {},
    )


def foretell(asked: Asked, runs: list[Run], resolved: list[Resolved], options: StudyOptions) -> int:
    """List the runs; of a search that learns, as many as there will be, each with all that it may be."""
    if asked.sweep.method == "bayes":
        ranges = {each.name: each.span for each in asked.sweep.parameters}
        runs = [Run(numbered(n), asked.base, ranges) for n in range(1, (asked.most or 0) + 1)]
        resolved = resolved[:1] * len(runs)  # the middle of everything
    told = not any(run.id == numbered(n) for n, run in enumerate(runs, 1))
    columns = [] if told else [each.name for each in asked.sweep.varied]
    places, _ = places_for(options.parallel, resolved)
    return list_runs(runs, resolved, places=places, json=options.json, columns=columns)


def most(asked: Sweep, count: int | None) -> int | None:
    """How many runs at most; None: all of a grid.

    Raises:
        UserError: nothing says how many to draw.
    """
    found = min((n for n in (count, asked.run_cap) if n is not None), default=None)
    if found is None and asked.method != "grid":
        raise UserError(f"{asked.path}: method: {asked.method} has no end; add --count=N, or run_cap: N to the file")
    return found if found is None else min(found, MOST)


def listed_runs(asked: Asked) -> list[Run]:
    """The runs of a grid or of a random search; of a search that learns, the corners of what it may suggest."""
    wanted, base = asked.sweep, asked.base
    if wanted.method == "grid":
        return named_runs(wanted, base, all_combinations(wanted))[: asked.most]
    if wanted.method == "bayes":
        require_optuna()
        return [Run(numbered(n), base, settings) for n, settings in enumerate(corners(wanted), 1)]
    return [Run(numbered(n), base, settings) for n, settings in enumerate(drawn(wanted, asked.most or 0, SEED), 1)]


def require_evaluations(asked: Sweep, resolved: Sequence[Resolved]) -> None:
    """
    Raises:
        UserError: every run would be over before runs are compared for the first time.
    """
    if not asked.bands or not asked.bands.at:
        return
    plans = [plan for each in resolved if isinstance(plan := foresee_plan(each), Plan)]
    longest = max(map(evaluations, plans), default=None)
    if longest is not None and longest <= asked.bands.at[0]:
        less = f"min_iter: {longest // 3}, or " if longest >= 6 else ""  # the first is before the first step
        raise UserError(
            f"{asked.path}: early_terminate compares runs after {asked.bands.at[0]:,} evaluations, and the longest has "
            f"{longest:,}: nothing would ever be stopped; try {less}a smaller eval_interval"
        )


def _given(key: str, flags: Sequence[str]) -> bool:
    return any(flag.partition("=")[0] == f"--{key}" for flag in flags)


def _require_loss(asked: Sweep) -> None:
    """
    Raises:
        UserError: runs are to be stopped early by something that is known at their end only.
    """
    if asked.bands and METRICS[asked.metric] != "best_val_loss":
        raise UserError(f"{asked.path}: early_terminate goes by evaluations; write metric: {{name: val/loss}}")


def _require_free(asked: Sweep, flags: Sequence[str]) -> None:
    """A flag for all runs and a parameter that varies contradict each other.

    Raises:
        UserError: a line for each such flag.
    """
    given = {key_of(flag[2:].partition("=")[0]): flag for flag in flags}
    both = [(each, given[key]) for each in asked.varied if (key := key_of(each.name)) in given]
    if both:
        raise UserError(
            *(f"{flag}: is swept by {each.origin} ({each.name}); leave one of them out" for each, flag in both)
        )
