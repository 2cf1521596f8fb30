"""Penalties on how uncertain the output is: their values and gradients from one chunk of log-probabilities.

    loss = cross-entropy + weight x penalty, averaged over the positions that count

All of them fall as the model grows surer, so they reward confidence. With p = softmax(logits), the gradient of each by a
logit j is a number of the row times p_j, and for a few j something more; nothing of the chunk's size is made besides.

Legend: n positions of a chunk, V vocabulary, k largest probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Penalized(NamedTuple):
    """Of one chunk. Args: gradient_nV: by the logits, without the targets' share; None where none is asked for."""

    gradient_nV: Tensor | None
    value_n: Tensor
    largest_n: Tensor  # probability


def non_max_sum(logp_nV: Tensor, share_n1: Tensor, weight_n1: Tensor, k: int, wants_grad: bool) -> Penalized:
    """1 - max p: the probability of all tokens but the likeliest."""
    return _mass(logp_nV, share_n1, weight_n1, 1, wants_grad)


def neg_max_prob(logp_nV: Tensor, share_n1: Tensor, weight_n1: Tensor, k: int, wants_grad: bool) -> Penalized:
    """-max p: the same gradient, 1 lower."""
    found = _mass(logp_nV, share_n1, weight_n1, 1, wants_grad)
    return found._replace(value_n=found.value_n - 1)


def top_k_mass(logp_nV: Tensor, share_n1: Tensor, weight_n1: Tensor, k: int, wants_grad: bool) -> Penalized:
    """1 - sum of the k largest p."""
    return _mass(logp_nV, share_n1, weight_n1, min(k, logp_nV.shape[1]), wants_grad)


def neg_entropy(logp_nV: Tensor, share_n1: Tensor, weight_n1: Tensor, k: int, wants_grad: bool) -> Penalized:
    """The entropy -sum p log p, whatever its name says; d/dz_j = -p_j (log p_j + entropy)."""
    largest_n = logp_nV.amax(1).exp()
    p_nV = logp_nV.exp()
    weighted_nV = logp_nV.mul_(p_nV)
    entropy_n1 = -weighted_nV.sum(1, keepdim=True)
    if not wants_grad:
        return Penalized(None, entropy_n1.squeeze(1), largest_n)
    gradient_nV = weighted_nV.mul_(-weight_n1).addcmul_(p_nV, share_n1 - weight_n1 * entropy_n1)
    return Penalized(gradient_nV, entropy_n1.squeeze(1), largest_n)


def _mass(logp_nV: Tensor, share_n1: Tensor, weight_n1: Tensor, k: int, wants_grad: bool) -> Penalized:
    """1 - M, M being the sum of the k largest p; d/dz_j = p_j (M - [j among them])."""
    largest_nk, index_nk = logp_nV.max(1, keepdim=True) if k == 1 else logp_nV.topk(k)
    largest_nk = largest_nk.exp()
    mass_n1 = largest_nk.sum(1, keepdim=True)
    value_n, largest_n = (1 - mass_n1).squeeze(1), largest_nk[:, 0]
    if not wants_grad:
        return Penalized(None, value_n, largest_n)
    gradient_nV = logp_nV.exp_().mul_(share_n1 + weight_n1 * mass_n1)
    return Penalized(gradient_nV.scatter_add_(1, index_nk, -weight_n1 * largest_nk), value_n, largest_n)


PENALTIES: dict[str, Callable[[Tensor, Tensor, Tensor, int, bool], Penalized]] = {
    "non_max_sum": non_max_sum,
    "neg_max_prob": neg_max_prob,
    "neg_entropy": neg_entropy,
    "top_k_mass": top_k_mass,
}
"""By name: a chunk's log-probabilities (overwritten), the share of the loss that each position has as cross-entropy and as
penalty, the k of top_k_mass, and whether gradients are wanted."""
