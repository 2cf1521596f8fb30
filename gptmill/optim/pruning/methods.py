"""How much a weight matters: ``METHODS[name]`` is a way to score weights; the lowest scores are pruned.

Legend: scores have the shape of their weight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from gptmill.registry import Registry

METHODS: Registry[type[Method]] = Registry("pruning_method")
EPS = 1e-8  # of the score by Adam's moments


class Method(ABC):
    """A way to score weights, from what it keeps of each of them.

    Args:
        keeps: name of a tensor kept for each weight, or None; it is part of the checkpoint.
        masks_all: gradients and moments of pruned weights are zero too, not the weights alone.
    """

    keeps: str | None = None
    masks_all = False

    def begin(self, weight: Tensor) -> Tensor:
        """What is kept of a weight before the first update: nothing has been learned of it."""
        return weight.new_zeros(weight.shape)

    def learn(self, kept: Tensor, weight: Tensor, gradient: Tensor) -> None:  # noqa: B027 - most learn nothing
        """Called before every update that is taken; changes ``kept`` in place."""

    @abstractmethod
    def score(self, weight: Tensor, kept: Tensor | None, moments: dict[str, Tensor]) -> Tensor:
        """A number for every weight, from what is kept of it and the optimizer's moments of it, by name."""


@METHODS.register("magnitude")
class Magnitude(Method):
    """The smallest weights go. Source: Zhu & Gupta 2017, arXiv:1710.01878."""

    def score(self, weight: Tensor, kept: Tensor | None, moments: dict[str, Tensor]) -> Tensor:
        return weight.abs()


@METHODS.register("movement")
class Movement(Method):
    """w (w - w0): weights that moved towards zero since the beginning go, whatever their size."""

    keeps = "initial"

    def begin(self, weight: Tensor) -> Tensor:
        return weight.clone()

    def score(self, weight: Tensor, kept: Tensor | None, moments: dict[str, Tensor]) -> Tensor:
        assert kept is not None
        return weight * (weight - kept)


@METHODS.register("gradient_movement")
class GradientMovement(Method):
    """-sum of gradient x weight over all updates: weights that training pushes towards zero go.

    Source: Sanh et al. 2020, arXiv:2005.07683, equation 3, with a constant rate, which changes no order. There pruned
    weights are kept under the mask and may return; here they are zero and stay so.
    """

    keeps = "score"

    def learn(self, kept: Tensor, weight: Tensor, gradient: Tensor) -> None:
        kept.addcmul_(gradient, weight, value=-1)

    def score(self, weight: Tensor, kept: Tensor | None, moments: dict[str, Tensor]) -> Tensor:
        assert kept is not None
        return kept


@METHODS.register("state")
class State(Method):
    """|w m| |w| / (sqrt(v) + 1e-8), m and v being Adam's moments: small weights go that training leaves small.

    The size alone decides where the optimizer has no moments.
    """

    masks_all = True

    def score(self, weight: Tensor, kept: Tensor | None, moments: dict[str, Tensor]) -> Tensor:
        m, v = moments.get("exp_avg"), moments.get("exp_avg_sq")
        if m is None or v is None:
            return weight.abs()
        return (weight * m).abs() * (weight.abs() / (v.sqrt() + EPS))
