"""What sweep, matrix and ablate share: checking a list of runs, carrying it out, and the words around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gptmill.cli.dataset import ready_data
from gptmill.cli.foresight import foresee_plan, runs_in_words, warn
from gptmill.cli.pretrained import as_layer, fetch
from gptmill.cli.say import say
from gptmill.cli.study_options import StudyOptions, names_of
from gptmill.config.flags import parse_flags
from gptmill.config.layers import DEFAULT, Parts, Setting
from gptmill.config.load import load
from gptmill.config.names import KNOWN
from gptmill.config.resolve import Resolved
from gptmill.config.translate import key_of
from gptmill.config.wording import config_error, misspells
from gptmill.errors import ConfigError, UserError
from gptmill.parallel.launch import environment_of_run
from gptmill.plan.nvidia import gpus as find_gpus
from gptmill.study.record import Result, Run
from gptmill.study.runs import Runner
from gptmill.study.standing import Standing
from gptmill.track.lock import lock_folder
from gptmill.train.signals import StopOnSignal

CHOSEN_HERE = ("out_dir",)  # by the study, for each run
KEPT = "delete_snapshots_after_training"


def split(argv: Sequence[str], command: Callable[..., int]) -> tuple[list[str], list[str]]:
    """Configs, and flags as ``--key=value``; --resume is what a study does anyway.

    Args:
        command: whose options are not among them, unless they were misspelt.

    Raises:
        ConfigError: what is no flag, and what the study decides itself.
    """
    configs, reading = parse_flags(list(argv))
    problems = list(reading.problems)
    words = []
    for name, setting in reading.layer.items():
        key = key_of(name)
        if name == "resume":
            continue
        if key in CHOSEN_HERE:
            problems.append(f"--{name}: every run of a study has its own; leave it out")
        elif name not in KNOWN and (meant := misspells(name, names_of(command))):
            problems.append(f"{setting.origin}: unknown option; did you mean '--{meant}'?")
        words.append(f"--{name}={setting.value}")
    if problems:
        raise config_error(problems)
    return configs, words


def check(runs: Iterable[Run], parts: Parts | None = None, origins: Mapping[str, str] | None = None) -> list[Resolved]:
    """The settings of every run.

    Args:
        origins: where each of their ``settings`` was written.

    Raises:
        ConfigError: everything wrong with any of them, once.
    """
    found: list[Resolved] = []
    problems: list[str] = []
    for run in runs:
        written = {name: Setting(value, (origins or {}).get(name, run.id)) for name, value in run.settings.items()}
        problems += [
            f"{s.origin}: {n}: every run has its own; leave it out"
            for n, s in written.items()
            if key_of(n) in CHOSEN_HERE
        ]
        try:
            settled = load(list(run.argv), parts=parts, describe=as_layer, above_files=written)
            found.append(settled)
            if settled.config.init_from == "resume":
                problems.append(f"{settled.origins['init_from']}: resume: a study goes on by itself; leave it out")
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise config_error(problems)
    return found


def prepare(resolved: Sequence[Resolved]) -> None:
    """See that the data of every run is there, and the model it begins with; prepare what is small and known by name.

    Once, not in each run. What their plans warn of is said here, as nobody reads what each run says.

    Raises:
        DataError: the data are not there.
        UserError: the model is not.
    """
    seen = set()
    for each in resolved:
        data = (each.config.data_dir, each.config.dataset, each.config.tokenizer, each.config.max_samples)
        if data not in seen:
            seen.add(data)
            ready_data(each.config)
    for weights in dict.fromkeys(each.weights for each in resolved):
        if weights is not None:
            fetch(weights)
    warn(foresee_plan(each) for each in resolved)


def places_for(parallel: int | None, resolved: Sequence[Resolved]) -> tuple[int, list[str]]:
    """How many runs at a time, and the GPUs for them: without a wish one for each GPU, and one on a CPU."""
    devices = {each.config.device for each in resolved}
    named = [] if devices & {"cpu", "mps"} else [gpu.uuid or gpu.index for gpu in find_gpus()]
    gpus = [] if any(":" in device for device in devices) else [gpu for gpu in named if gpu]
    return parallel or max(1, len(gpus)), gpus


def carry_out(
    study: Path,
    runs: Iterable[Run],
    *,
    options: StudyOptions,
    n_runs: int,
    resolved: Sequence[Resolved],
    headline: Callable[[Result], str] = lambda result: val_loss(result.summary),
    watch: Callable[[Standing], dict[str, str]] = lambda _: {},
) -> tuple[list[Result], int]:
    """Bring the runs to their end, with a bar for who watches and a line for each that ended.

    Args:
        study: held by this process (``hold``).
        runs: taken one by one as places become free.
        resolved: of the runs, as far as they are known.
        headline: what to say of one that finished.
        watch: names runs to stop, see Runner.

    Returns:
        what became of each, and the exit code: 1 when a run failed, 128 + n after a signal.
    """
    from gptmill.cli.studybar import StudyBar

    places, gpus = places_for(options.parallel, resolved)
    places = min(places, n_runs)
    words = [f"--import={module}" for module in options.import_ or ()]
    if all(each.origins[KEPT].startswith(DEFAULT) for each in resolved):
        words.append(f"--{KEPT}=True")  # the disk is for the best and the last of each
    with StopOnSignal() as stop, StudyBar(n_runs, headline) as bar:

        def look(standing: Standing) -> dict[str, str]:
            if stop.signal is not None and standing.going:
                n = len(standing.going)
                finish = "1 run finishes its step and saves" if n == 1 else f"{n} runs finish their step and save"
                bar.tell(f"stopping: {finish}; once more ends at once")
            bar(standing)
            return watch(standing)

        runner = Runner(
            study,
            places,
            lambda place, beats: environment_of_run(beats, place, places, gpus),
            stop,
            words=words,
            watch=look,
            stop_on_failure=options.stop_on_failure,
        )
        results = runner.carry_out(runs)
    if stop.signal is not None:
        say(f"study folder {study}: {len(results)} of {runs_in_words(n_runs)} ended; the same command goes on")
        return results, 128 + stop.signal
    return results, int(any(each.state == "failed" for each in results))


def hold(study: Path) -> None:
    """Have the folder for the life of this process.

    Raises:
        TryAgain: another process has it.
        UserError: it cannot be made, or holds something else.
    """
    from gptmill.track.describe import is_run

    try:
        if is_run(study):
            raise UserError(f"--out_dir={study}: holds a run, not a study; give another folder")
        _, notices = lock_folder(study)
    except OSError as error:
        raise UserError(f"--out_dir={study}: {error.strerror} ({error.filename})") from error
    say(*notices)


def val_loss(summary: Mapping[str, Any]) -> str:
    loss = summary.get("best_val_loss")
    return f"best validation loss {loss:.4f}" if isinstance(loss, int | float) else "no validation loss"
