"""Is one group of runs better than another, or was it the seed? Losses in nats/token; a difference below zero is a gain.

Runs of the same seed read the same text in the same order, so they are compared seed by seed: what is common to both
cancels. Groups that share no seed are compared as two samples (Welch's test, which asks for no equal spreads).
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gptmill.errors import UserError

ALPHA = 0.05  # how often all comparisons of a study together may find what is not there
POWER = 0.8  # how often a difference that is there should be found, as in Cohen 1988
FEWEST = 3  # seeds; two give an interval of 13 standard errors to each side
MOST_SEEDS = 1000  # beyond that a hint says so and no more


def require_scipy() -> None:
    """Better before the first run than after the last. Raises: UserError: it is not installed; says how to get it."""
    try:
        import scipy  # noqa: F401
    except ImportError:
        raise UserError("a study's statistics need scipy: pip install 'scipy>=1.13'") from None


@dataclass(frozen=True)
class Comparison:
    """One arm beside the baseline.

    Args:
        seeds: pairs; of unpaired groups the runs of the smaller one.
        difference: mean loss of the arm minus that of the baseline.
        low, high: its 95 % interval, of this comparison alone.
        p: two-sided, of this comparison alone.
        spread: standard deviation of the difference between two runs, one of each group.
    """

    seeds: int
    paired: bool
    difference: float
    low: float
    high: float
    p: float
    spread: float

    @property
    def effect(self) -> float | None:
        """The difference in units of its spread (Cohen's d of the differences); None where nothing spreads."""
        return self.difference / self.spread if self.spread > 0 else None


def compare(arm: Mapping[int, float], baseline: Mapping[int, float]) -> Comparison | None:
    """Compare final losses by seed; None where there are fewer than two of either.

    Seeds that only one side has are left out as soon as two are shared.
    """
    import numpy as np
    from scipy import stats

    shared = sorted(arm.keys() & baseline.keys())
    paired = len(shared) > 1 or (bool(shared) and min(len(arm), len(baseline)) == 1)
    a_N, b_N = (np.array([losses[s] for s in (shared if paired else losses)]) for losses in (arm, baseline))
    if min(len(a_N), len(b_N)) < 2:
        return None
    with warnings.catch_warnings():  # where nothing spreads: p is 0 or, with no difference, undefined
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.ttest_rel(a_N, b_N) if paired else stats.ttest_ind(a_N, b_N, equal_var=False)
        low, high = found.confidence_interval(1 - ALPHA)
    spread = np.std(a_N - b_N, ddof=1) if paired else np.hypot(np.std(a_N, ddof=1), np.std(b_N, ddof=1))
    difference = float(a_N.mean() - b_N.mean())
    if not spread:
        low = high = difference
    p = float(found.pvalue) if math.isfinite(found.pvalue) else 1.0
    return Comparison(min(len(a_N), len(b_N)), paired, difference, float(low), float(high), p, float(spread))


def holm(ps: Sequence[float]) -> list[float]:
    """p-values of a family of comparisons, adjusted so that alpha bounds the chance of any false finding.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, n in enumerate(sorted(range(len(ps)), key=lambda n: ps[n])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[n]))
        adjusted[n] = largest
    return adjusted


def power(effect: float, seeds: int, *, paired: bool, alpha: float = ALPHA) -> float:
    """Chance of finding a true difference.

    Args:
        effect: the difference in units of its spread (``Comparison.effect``).
        seeds: runs of each group.
    """
    from scipy import stats

    freedom = (seeds - 1) * (1 if paired else 2)
    centre = abs(effect) * math.sqrt(seeds)
    if centre > 30:  # the noncentral t is not computed reliably out there
        return 1.0
    beyond = float(stats.t.ppf(1 - alpha / 2, freedom))
    wrong_side = float(stats.nct.cdf(-beyond, freedom, centre))
    return float(stats.nct.sf(beyond, freedom, centre)) + (
        wrong_side if wrong_side > 0 else 0.0
    )  # NaN where it is tiny


def seeds_needed(effect: float, *, paired: bool, alpha: float = ALPHA) -> int | None:
    """The fewest seeds that find a true difference with a chance of POWER; None when more than MOST_SEEDS."""
    tried = range(FEWEST, MOST_SEEDS + 1)
    place = bisect_left(tried, POWER, key=lambda seeds: power(effect, seeds, paired=paired, alpha=alpha))
    return tried[place] if place < len(tried) else None


def detectable(seeds: int, *, paired: bool, alpha: float = ALPHA) -> float:
    """The difference, in units of its spread, that so many seeds find with a chance of POWER."""
    from scipy.optimize import brentq

    return float(brentq(lambda effect: power(effect, seeds, paired=paired, alpha=alpha) - POWER, 0.0, 100.0))
