"""What pruning adds to a run: how many weights it looks at, and what it keeps of each."""

from __future__ import annotations

from gptmill.plan.optimizer import hidden_numbers
from gptmill.plan.types import Plan

# bytes for each weight that may be pruned: a mask, and its first value or its score in float32
KEPT = {"none": 0, "magnitude": 1, "state": 1, "movement": 5, "gradient_movement": 5}


def n_prunable(plan: Plan) -> int:
    """Weights in the matrices of linear layers; of a head that is the embedding too only where that is asked for."""
    shape = plan.shape
    head = 0 if shape.weight_tying and not plan.prune_tied_head else shape.vocab_size * shape.n_embd
    return hidden_numbers(shape) + head


def kept_bytes(plan: Plan) -> int:
    """Bytes of masks and scores, in every process and in every checkpoint."""
    return KEPT[plan.pruning_method] * n_prunable(plan) if plan.pruning_method != "none" else 0
