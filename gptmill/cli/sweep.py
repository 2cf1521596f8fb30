"""``gptmill sweep``: a sweep file of Weights & Biases, carried out on this machine without a network."""

from __future__ import annotations

import json as json_format
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gptmill.cli.compare import print_tables, read_all, write_page
from gptmill.cli.parts import Import, import_parts
from gptmill.cli.say import say
from gptmill.cli.studying import carry_out, check, foresee, foreseen_table, hold, prepare, split
from gptmill.config.files import find_config, text_of
from gptmill.config.layers import Parts
from gptmill.config.translate import key_of
from gptmill.errors import UserError
from gptmill.report.tables import NONE, Table, known
from gptmill.study.bayes import require_optuna
from gptmill.study.choose import all_combinations, corners, drawn, named_runs, numbered
from gptmill.study.record import Result, Run, keep_runs
from gptmill.study.search import Stopper, suggested, until_reached
from gptmill.study.sweepfile import Sweep, read_sweep
from gptmill.units import duration

Flag = Annotated[bool, Parameter(negative="")]
KIND = "sweep"
PAGE = "compare.html"
SEED = 1337  # of what is drawn; the runs have a seed of their own

# Names of what can be compared, as trainers log it -> the field of a run's summary.
METRICS = {
    **dict.fromkeys(("val/loss", "val/ce_loss", "val_loss", "best_val_loss"), "best_val_loss"),
    **dict.fromkeys(("val/perplexity", "perplexity"), "perplexity"),
    **dict.fromkeys(("train/loss", "train_loss", "final_train_loss"), "final_train_loss"),
    **{"tokens_per_second": "tokens_per_second", "mfu": "mfu", "seconds": "seconds"},
}


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
    if count is not None and count < 1:
        raise UserError(f"--count={count}: must be at least 1")
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
    return found


def listed_runs(asked: Sweep, base: tuple[str, ...], n_runs: int | None) -> list[Run]:
    """The runs of a grid or of a random search; of a search that learns, the corners of what it may suggest."""
    if asked.method == "grid":
        return named_runs(asked, base, all_combinations(asked))[:n_runs]
    if asked.method == "bayes":
        require_optuna()
        return [Run(numbered(n), base, settings) for n, settings in enumerate(corners(asked), 1)]
    return [Run(numbered(n), base, settings) for n, settings in enumerate(drawn(asked, n_runs or 0, SEED), 1)]


def origins_of(asked: Sweep) -> dict[str, str]:
    return {each.name: each.origin for each in asked.parameters}


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
