"""What pruning adds to a run: how many weights it looks at, and what it keeps of each."""

from __future__ import annotations

from gptmill.errors import ConfigError
from gptmill.plan.flops import has_closed_form
from gptmill.plan.frozen import weight_sizes
from gptmill.plan.optimizer import hidden_numbers
from gptmill.plan.types import Plan, covers

# bytes for each weight that may be pruned: a mask, and its first value or its score in float32
KEPT = {"none": 0, "magnitude": 1, "state": 1, "movement": 5, "gradient_movement": 5}


def n_prunable(plan: Plan) -> int:
    """Weights that train in the matrices of linear layers; of a head that is the embedding too only where that is asked for."""
    shape = plan.shape
    head = "lm_head.weight" if not shape.weight_tying else "wte.weight" if plan.prune_tied_head else ""
    if not has_closed_form(shape):
        return hidden_numbers(shape) + (shape.vocab_size * shape.n_embd if head else 0)
    return sum(
        numbers
        for name, numbers in weight_sizes(shape).items()
        if (name == head or (name.startswith("blocks.") and name.endswith(".weight") and "norm" not in name))
        and not covers(plan.freeze, name)
    )


def check_prunable(plan: Plan) -> None:
    """Raise ConfigError where all that could be pruned is frozen."""
    if plan.pruning_method != "none" and n_prunable(plan) == 0:
        says = f"freeze={','.join(plan.freeze)} leaves nothing to prune; freeze less, or pruning_method=none"
        raise ConfigError(f"pruning_method={plan.pruning_method}: {says}")


def kept_bytes(plan: Plan) -> int:
    """Bytes of masks and scores, in every process and in every checkpoint."""
    return KEPT[plan.pruning_method] * n_prunable(plan) if plan.pruning_method != "none" else 0
