"""The next settings of a sweep, from what the runs before them reached: the tree-structured Parzen estimator of Optuna.

Every suggestion is worked out anew from the record and the run folders, with a seed of its own, so there is no state to
lose. Numbers are searched as shares of their probability, which is a logarithm's scale where the distribution has one.

Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gptmill.errors import UserError
from gptmill.study.parameters import Parameter

if TYPE_CHECKING:
    import optuna

Settings = dict[str, str | None]


def require_optuna() -> None:
    """
    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UserError(
            "method: bayes needs the package optuna; pip install 'gptmill[sweep]', or method: random"
        ) from None


def suggest(
    parameters: Sequence[Parameter],
    before: Sequence[tuple[Mapping[str, str | None], float | None, bool]],
    *,
    maximize: bool,
    seed: int,
) -> Settings:
    """Settings for the next run.

    Args:
        before: of each run so far its settings, what it reached (None: not yet, or it failed), and whether it goes on.
        seed: of this suggestion.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="maximize" if maximize else "minimize")
    space = {each.name: _space(each) for each in parameters if each.varies}
    for settings, reached, going in before:
        state = optuna.trial.TrialState
        study.add_trial(
            optuna.trial.create_trial(
                params={each.name: _place(each, settings[each.name]) for each in parameters if each.varies},
                distributions=space,
                value=reached,
                state=state.COMPLETE if reached is not None else state.RUNNING if going else state.FAIL,
            )
        )
    found = study.ask(space).params
    return {each.name: _value(each, found) for each in parameters}


def _space(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    import optuna

    if parameter.values:
        return optuna.distributions.CategoricalDistribution(range(len(parameter.values)))
    return optuna.distributions.FloatDistribution(0.0, 1.0)


def _place(parameter: Parameter, value: str | None) -> int | float:
    if parameter.values:
        return parameter.values.index(value)
    return parameter.share_of(float(value or 0.0))


def _value(parameter: Parameter, found: Mapping[str, Any]) -> str | None:
    if not parameter.varies:
        return parameter.values[0]
    at = found[parameter.name]
    return parameter.values[at] if parameter.values else parameter.at(at)
