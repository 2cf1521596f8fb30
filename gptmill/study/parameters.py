"""One parameter of a sweep: the values it may take, by the names and the meaning that Weights & Biases gives them.

Source: docs.wandb.ai, "Sweep configuration options", and the JSON schema of the package ``sweeps`` 0.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from statistics import NormalDist

Numbers = dict[str, float]
AtShare = Callable[[float, Numbers], float]  # a share in [0, 1) of the probability -> the value there


def _between(share: float, low: float, high: float) -> float:
    return low + share * (high - low)


def _uniform(share: float, n: Numbers) -> float:
    return _between(share, n["min"], n["max"])


def _int_uniform(share: float, n: Numbers) -> float:
    return math.floor(_between(share, n["min"], n["max"] + 1))


def _exp_uniform(share: float, n: Numbers) -> float:
    return math.exp(_uniform(share, n))


def _log_uniform(share: float, n: Numbers) -> float:
    return math.exp(_between(share, math.log(n["min"]), math.log(n["max"])))


def _inverse_exp_uniform(share: float, n: Numbers) -> float:
    return math.exp(-_uniform(1 - share, n))


def _normal(share: float, n: Numbers) -> float:
    if n["sigma"] == 0:
        return n["mu"]
    return NormalDist(n["mu"], n["sigma"]).inv_cdf(min(max(share, 1e-12), 1 - 1e-12))


def _log_normal(share: float, n: Numbers) -> float:
    return math.exp(_normal(share, n))


Defaults = dict[str, float | None]  # None: must be given
RANGE: Defaults = {"min": None, "max": None}
BELL: Defaults = {"mu": 0.0, "sigma": 1.0}
STEP: Defaults = {"q": 1.0}
# distribution -> (its value at a share of the probability, its numbers)
DISTRIBUTIONS: dict[str, tuple[AtShare, Defaults]] = {
    "uniform": (_uniform, RANGE),
    "int_uniform": (_int_uniform, RANGE),
    "q_uniform": (_uniform, RANGE | STEP),
    "log_uniform": (_exp_uniform, RANGE),  # min and max are exponents of e
    "q_log_uniform": (_exp_uniform, RANGE | STEP),
    "inv_log_uniform": (_inverse_exp_uniform, RANGE),
    "log_uniform_values": (_log_uniform, RANGE),
    "q_log_uniform_values": (_log_uniform, RANGE | STEP),
    "inv_log_uniform_values": (_log_uniform, RANGE),  # the inverse of what is log-uniform is log-uniform
    "normal": (_normal, BELL),
    "q_normal": (_normal, BELL | STEP),
    "log_normal": (_log_normal, BELL),
    "q_log_normal": (_log_normal, BELL | STEP),
}
OF_LOGS = ("log_uniform_values", "q_log_uniform_values", "inv_log_uniform_values")
MOST = 10_000  # runs: more is a slip of the pen
LISTED = ("int_uniform", "q_uniform")  # ranges that a grid can walk


@dataclass(frozen=True)
class Parameter:
    """A key and what it may be.

    Args:
        values: as they are written; empty for a range. One: it does not vary.
        weights: of the values; empty: all alike.
        distribution: of a range.
    """

    name: str
    origin: str
    values: tuple[str | None, ...] = ()
    weights: tuple[float, ...] = ()
    distribution: str = ""
    numbers: Numbers = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        return len(self.values) != 1

    @property
    def span(self) -> str:
        """All that it may be, in words."""
        if self.values:
            return " | ".join(map(str, self.values))
        if "min" in self.numbers:
            return f"{self.at(0.0)} to {self.at(1 - 1e-9)}"
        return f"{self.distribution}, mostly {self.at(0.025)} to {self.at(0.975)}"

    def at(self, share: float) -> str | None:
        """The value below which this share of the probability lies, or the one of a list that it falls on."""
        if self.values:
            weights = self.weights or (1.0,) * len(self.values)
            edges = list(accumulate(weights))
            n = sum(edge <= share * edges[-1] for edge in edges)
            return self.values[min(n, len(self.values) - 1)]
        return written(self._number_at(share))

    def _number_at(self, share: float) -> float:
        try:
            value = DISTRIBUTIONS[self.distribution][0](share, self.numbers)
            step = self.numbers.get("q")
            return round(value / step) * step if step else value
        except (OverflowError, ValueError):
            return math.inf  # which no key takes

    def draw(self, random: Random) -> str | None:
        return self.at(random.random())

    def share_of(self, value: float) -> float:
        """Where the number lies in a range's probability: the middle of the shares that give it."""
        slack = 1e-5 * abs(value)  # it was written with six digits

        def first(reached: Callable[[float], bool]) -> float:
            low, high = 0.0, 1.0
            for _ in range(50):
                middle = (low + high) / 2
                low, high = (low, middle) if reached(self._number_at(middle)) else (middle, high)
            return high

        return (first(lambda x: x >= value - slack) + first(lambda x: x > value + slack)) / 2

    def grid(self) -> tuple[str | None, ...] | None:
        """Every value there is; None when there is no end of them, or none that anyone would wait for."""
        if self.values:
            return self.values
        if self.distribution not in LISTED:
            return None
        step = self.numbers.get("q", 1.0)
        if not (self.numbers["max"] - self.numbers["min"]) / step <= MOST:
            return None
        first, last = math.ceil(self.numbers["min"] / step), math.floor(self.numbers["max"] / step)
        return tuple(written(n * step) for n in range(first, last + 1))


def written(value: float) -> str:
    """Six digits are more than a sweep can tell apart, and can be typed."""
    return f"{value:.6g}" if abs(value) < 1e6 or not value.is_integer() else str(int(value))
