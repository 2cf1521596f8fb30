"""A matrix of runs: models x optimizers x pruning methods x sparsities, without what makes no sense together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gptmill.config.aliases import MODEL_NAMES
from gptmill.config.symbols import OPTIMIZERS, PRUNING, SPARSITIES
from gptmill.errors import UserError
from gptmill.study.record import Run

PRUNES = "adamwprune"  # the optimizer whose state is what state pruning goes by, and which prunes in no other way
BY_STATE = "state"


@dataclass(frozen=True)
class Axes:
    """What varies: the values that are listed. Models are the names of ``model_name``."""

    models: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    percents: tuple[float, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One run of a matrix. ``sparsity`` is a share, 0 of a dense run; an empty model is the one that the config has."""

    model: str
    optimizer: str
    method: str
    sparsity: float

    @property
    def id(self) -> str:
        pruned = "" if self.method == "none" else f"_{100 * self.sparsity:g}"
        return f"{self.optimizer}_{self.method}{pruned}"

    def run(self, argv: Sequence[str], settings: Mapping[str, str | None]) -> Run:
        """Args: argv: of every run. settings: of the config."""
        model = [f"--model_name={self.model}"] if self.model else []
        pruning = [f"--pruning_method={self.method}"]
        if self.method != "none":
            pruning.append(f"--target_sparsity={self.sparsity:g}")
        return Run(
            f"{self.model or _model(settings)}_{self.id}",
            (*argv, *model, f"--optimizer={self.optimizer}", *pruning),
            settings,
        )


def cells(axes: Axes) -> list[Cell]:
    """Every combination that means something: a dense run has no sparsity, and state pruning belongs to its optimizer."""
    return [
        Cell(model, optimizer, method, 0.0 if method == "none" else percent / 100)
        for model in axes.models or ("",)
        for optimizer in axes.optimizers
        for method in axes.methods
        if method == "none" or (method == BY_STATE) == (optimizer == PRUNES)
        for percent in (axes.percents[:1] if method == "none" else axes.percents)
    ]


def axes_of(path: str, symbols: Mapping[str, str | bool]) -> Axes:
    """What a ``.config`` varies. What it does not enable is off, whatever Kconfig's default for it is.

    Args:
        symbols: those of a matrix, by name without CONFIG_.

    Raises:
        UserError: an axis is to have several values and names none.
    """
    optimizers = _enabled(symbols, "OPTIMIZER", OPTIMIZERS)
    methods = _enabled(symbols, "PRUNING", PRUNING)
    percents = [
        n for n in SPARSITIES if True in (symbols.get(f"SPARSITY_ENABLE_{n}"), symbols.get(f"TEST_SPARSITY_{n}"))
    ]
    models = [word for word in str(symbols.get("TEST_MODELS", "")).replace(",", " ").split() if word]
    problems = [
        f"{path}: CONFIG_{mode}=y, and {what} is enabled; try CONFIG_{example}"
        for mode, found, what, example in (
            ("OPTIMIZER_MODE_MULTIPLE", optimizers, "no optimizer", "OPTIMIZER_ENABLE_ADAMW=y"),
            ("PRUNING_MODE_MULTIPLE", methods, "no pruning method", "PRUNING_ENABLE_NONE=y"),
            ("MODEL_MODE_MULTIPLE", models, "no model", 'TEST_MODELS="gpt2,gpt2-medium"'),
        )
        if symbols.get(mode) is True and not found
    ]
    problems += unknown_models(f"{path}: CONFIG_TEST_MODELS", models)
    if problems:
        raise UserError(*problems)
    return Axes(tuple(models), tuple(optimizers), tuple(methods), tuple(percents))


def unknown_models(place: str, names: Sequence[str]) -> list[str]:
    return [f"{place}: {name}: must be one of {', '.join(MODEL_NAMES)}" for name in names if name not in MODEL_NAMES]


def _enabled(symbols: Mapping[str, str | bool], kind: str, names: Sequence[str]) -> list[str]:
    patterns = (f"{kind}_ENABLE_", f"{kind}_ENABLED_", f"TEST_{kind}_ENABLED_", f"TEST_{kind}_")
    return [name for name in names if any(symbols.get(pattern + name.upper()) is True for pattern in patterns)]


def _model(settings: Mapping[str, str | None]) -> str:
    """The name of the model that the settings make, for the runs' names."""
    if settings.get("model_name"):
        return str(settings["model_name"])
    return next((name for name, preset in MODEL_NAMES.items() if preset == settings.get("preset")), "gpt2")
