"""Which runs a matrix is asked for: by a ``.config``, by a YAML file or a folder of them, and by flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cyclopts import Parameter

from gptmill.cli.matrix_source import Source, read_source
from gptmill.cli.say import say
from gptmill.cli.studying import check
from gptmill.config.layers import Parts
from gptmill.config.translate import key_of
from gptmill.config.wording import nearest
from gptmill.errors import UserError
from gptmill.study.matrix import BY_STATE, PRUNES, Axes, cells
from gptmill.study.record import Run

KEYS = {"models": "preset", "optimizers": "optimizer", "methods": "pruning_method", "percents": "target_sparsity"}


@Parameter(name="*")
@dataclass(frozen=True)
class Varied:
    """What the command line says of a matrix, in place of its config.

    Parameters
    ----------
    optimizers
        Comma-separated, in place of the config's: adamw,sgd.
    pruning
        Pruning methods, comma-separated: none,magnitude.
    sparsities
        In percent, comma-separated: 50,70,90.
    override_epochs
        Passes over the text, in place of the config's.
    config_yaml
        A YAML file with test_matrix: in place of a .config.
    config_dir
        A folder: each config_* in it is a .config whose runs are wanted.
    """

    optimizers: str | None = None
    pruning: str | None = None
    sparsities: str | None = None
    override_epochs: int | None = None
    config_yaml: str | None = None
    config_dir: Path | None = None

    def over(self, axes: Axes) -> Axes:
        """
        Raises:
            UserError: an option names nothing, or no percentage.
        """
        given = {"optimizers": self.optimizers, "pruning": self.pruning, "sparsities": self.sparsities}
        empty = [name for name, text in given.items() if text is not None and not _words(text)]
        if empty:
            raise UserError(*(f"--{name}=: names nothing; leave it out, or see --help" for name in empty))
        return replace(
            axes,
            optimizers=_words(self.optimizers) or axes.optimizers,
            methods=_words(self.pruning) or axes.methods,
            percents=_percents(self.sparsities) or axes.percents,
        )

    def option_of(self, axis: str) -> str | None:
        """The option that lists this axis, as it was typed."""
        name = {"optimizers": "optimizers", "methods": "pruning", "percents": "sparsities"}.get(axis, "")
        text = getattr(self, name, None)
        return None if text is None else f"--{name}={text}"


AS_WRITTEN = Varied()


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


def asked_for(configs: Sequence[str], flags: Sequence[str], varied: Varied, parts: Parts | None = None) -> Asked:
    """What configs and flags ask for.

    Raises:
        ConfigError: what is wrong with a config, an axis without values, or a flag that contradicts one.
    """
    flags = [*flags, *([] if varied.override_epochs is None else [f"--epochs={varied.override_epochs}"])]
    if varied.config_dir is not None:
        return _of_folder(varied.config_dir, configs, flags, varied, parts)
    named = [*([varied.config_yaml] if varied.config_yaml else []), *configs]
    if not named:
        raise UserError("gptmill matrix: name a config, for example gpt2-shakespeare-matrix or .config")
    source = read_source(named[0], named[1:], flags)
    return Asked(_runs(source, flags, varied, parts), source.origins, source.text, source.jobs)


def _of_folder(
    folder: Path, configs: Sequence[str], flags: Sequence[str], varied: Varied, parts: Parts | None
) -> Asked:
    """The runs of every config_* in a folder, named after it."""
    paths = sorted(path for path in folder.glob("config_*") if path.is_file())
    if not paths or varied.config_yaml:
        says = "has no config_*; name a folder with such files" if not paths else "leave out --config_yaml, or this"
        raise UserError(f"--config_dir={folder}: {says}")
    runs: list[Run] = []
    texts = []
    for path in paths:
        source = read_source(str(path), configs, flags, path)
        runs += [replace(run, id=f"{path.name}_{run.id}") for run in _runs(source, flags, varied, parts, single=True)]
        texts.append(f"# {path.name}\n{source.text}")
    return Asked(runs, {}, "\n".join(texts))


def _runs(
    source: Source, flags: Sequence[str], varied: Varied, parts: Parts | None, *, single: bool = False
) -> list[Run]:
    """Args: single: what varies nothing is one run."""
    listed = varied.over(source.axes)
    _require_free(source, listed, flags, varied)
    if listed == Axes() and not single:
        says = "varies nothing; add --optimizers=adamw,... --pruning=none,... --sparsities=50,..."
        raise UserError(f"{source.path}: {says}")
    axes = _filled(source, listed, parts)
    if varied.sparsities and set(axes.methods) == {"none"}:
        raise UserError(f"--sparsities={varied.sparsities}: a dense run has none; add --pruning=none,magnitude")
    found = cells(axes)
    rule = f"{BY_STATE} pruning goes with {PRUNES} only"
    if not found:
        raise UserError(f"{source.path}: no combination means anything: {rule}")
    idle = [name for name in axes.optimizers if name not in {cell.optimizer for cell in found}]
    idle += [name for name in axes.methods if name not in {cell.method for cell in found}]
    say(*(f"{source.path}: {name}: no run has it: {rule}, which prunes in no other way" for name in idle))
    return [cell.run(source.words, source.settings) for cell in found]


def _filled(source: Source, listed: Axes, parts: Parts | None) -> Axes:
    """An axis that nobody lists has the one value that the config and the flags come to."""
    if listed.optimizers and listed.methods and (listed.percents or set(listed.methods) == {"none"}):
        return replace(listed, percents=listed.percents or (0.0,))
    (resolved,) = check([Run(source.path, source.words, source.settings)], parts, source.origins)
    config = resolved.config
    return replace(
        listed,
        optimizers=listed.optimizers or (config.optimizer,),
        methods=listed.methods or (config.pruning_method,),
        percents=listed.percents or (100 * config.target_sparsity,),
    )


def _require_free(source: Source, listed: Axes, flags: Sequence[str], varied: Varied) -> None:
    """A flag for all runs and an axis that lists its values contradict each other.

    Raises:
        UserError: a line for each such flag.
    """
    given = {key_of(flag[2:].partition("=")[0]): flag for flag in flags}
    problems = [
        f"{given[key]}: {varied.option_of(axis) or source.path} varies it; leave one of them out"
        for axis, key in KEYS.items()
        if getattr(listed, axis) and key in given
    ]
    if problems:
        raise UserError(*problems)


def _percents(text: str | None) -> tuple[float, ...]:
    try:
        percents = tuple(dict.fromkeys(float(word) for word in _words(text)))
    except ValueError:
        raise UserError(f"--sparsities={text}: must be percentages, comma-separated: 50,70") from None
    if any(not 0 < percent < 100 for percent in percents):
        raise UserError(f"--sparsities={text}: must lie between 0 and 100 percent")
    return percents


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in (text or "").split(",") if word.strip()))


def filtered(runs: list[Run], optimizers: str | None) -> list[Run]:
    """Those of some optimizers only."""
    if optimizers is None:
        return runs
    if not _words(optimizers):
        raise UserError("--filter_optimizer=: names nothing; leave it out, or see --help")
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
