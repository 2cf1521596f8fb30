"""``gptmill sweep``: a sweep file of Weights & Biases, carried out on this machine without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.compare import print_tables
from gptmill.cli.parts import Import, import_parts
from gptmill.cli.studying import carry_out, check, foresee, foreseen_table, hold, prepare, require_places, split
from gptmill.cli.sweep_results import METRICS, conclude, metric_of, origins_of
from gptmill.config.files import find_config, text_of
from gptmill.config.translate import key_of
from gptmill.errors import UserError
from gptmill.report.tables import known
from gptmill.study.bayes import require_optuna
from gptmill.study.choose import all_combinations, corners, drawn, named_runs, numbered
from gptmill.study.parameters import MOST
from gptmill.study.record import Result, Run, keep_runs
from gptmill.study.search import Stopper, suggested, until_reached
from gptmill.study.sweepfile import Sweep, read_sweep

Flag = Annotated[bool, Parameter(negative="")]
KIND = "sweep"
SEED = 1337  # of what is drawn; the runs have a seed of their own


def sweep(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    out_dir: Path | None = None,
    count: int | None = None,
    parallel: int | None = None,
    dry_run: Flag = False,
    stop_on_failure: Flag = False,
    json: Flag = False,
    project: str | None = None,
    entity: str | None = None,
    init_only: Annotated[bool, Parameter(negative="", show=False)] = False,
    import_: Import = None,
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
    parallel
        Runs at a time; without it one on each GPU, and one on a CPU.
    dry_run
        List the runs with what they would take, and start none.
    stop_on_failure
        Start nothing more after a run failed.
    json
        Print one JSON object instead of tables.
    project
        W&B's project, for runs that log there.
    entity
        W&B's user or team.
    import_
        A Python module with parts of your own.
    """
    if count is not None and not 1 <= count <= MOST:
        raise UserError(f"--count={count}: must be at least 1, and at most {MOST:,}")
    require_places(parallel)
    configs, flags = split(argv)
    if not configs:
        raise UserError("gptmill sweep: name a sweep file, for example configs/sweep_lambda_openwebtext.yaml")
    found = find_config(configs[0])
    asked = read_sweep(text_of(found), found.shown, METRICS)
    names = {"wandb_project": project or asked.project, "wandb_entity": entity or asked.entity}
    flags += [f"--{key}={value}" for key, value in names.items() if value and not _given(key, flags)]
    base = (*configs[1:], *asked.fixed, *flags)
    parts = import_parts(import_)
    n_runs = most(asked, count)
    runs = listed_runs(asked, base, n_runs)
    _require_free(asked, flags)
    _require_loss(asked)
    resolved = check(runs, parts, origins_of(asked))
    if dry_run or init_only:
        if asked.method == "bayes":  # what it will come to is not known: the middle of everything, so many times
            runs = [Run(numbered(n), base, runs[0].settings) for n in range(1, (n_runs or 0) + 1)]
            resolved = resolved[:1] * len(runs)
        print_tables([foreseen_table(foresee(runs, resolved))])
        return 0
    prepare(resolved)
    study = out_dir or Path(f"out-{Path(found.shown).stem}")
    hold(study)

    def metric(result: Result) -> float | None:
        return metric_of(asked, result)

    coming: Iterable[Run] = runs
    if asked.method == "bayes":
        coming = suggested(asked, study, KIND, base, n_runs or 0, metric, SEED)
    else:
        keep_runs(study, KIND, runs)
    results, code = carry_out(
        study,
        until_reached(asked, study, coming, metric),
        n_runs=n_runs or len(runs),
        resolved=resolved,
        parallel=parallel,
        import_=import_,
        stop_on_failure=stop_on_failure,
        headline=lambda result: f"{asked.metric} {known(metric(result), '{:.4f}')}",
        watch=Stopper(asked.bands, study) if asked.bands else lambda _: {},
    )
    conclude(asked, study, results, parts, json=json)
    return code


def most(asked: Sweep, count: int | None) -> int | None:
    """How many runs at most; None: all of a grid.

    Raises:
        UserError: nothing says how many to draw.
    """
    found = min((n for n in (count, asked.run_cap) if n is not None), default=None)
    if found is None and asked.method != "grid":
        raise UserError(f"{asked.path}: method: {asked.method} has no end; add --count=N, or run_cap: N to the file")
    return found if found is None else min(found, MOST)


def listed_runs(asked: Sweep, base: tuple[str, ...], n_runs: int | None) -> list[Run]:
    """The runs of a grid or of a random search; of a search that learns, the corners of what it may suggest."""
    if asked.method == "grid":
        return named_runs(asked, base, all_combinations(asked))[:n_runs]
    if asked.method == "bayes":
        require_optuna()
        return [Run(numbered(n), base, settings) for n, settings in enumerate(corners(asked), 1)]
    return [Run(numbered(n), base, settings) for n, settings in enumerate(drawn(asked, n_runs or 0, SEED), 1)]


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
