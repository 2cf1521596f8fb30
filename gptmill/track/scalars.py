"""A line of metrics.jsonl as named numbers: the charts that every tracker shows."""

from __future__ import annotations

from typing import Any

# Field of the line -> chart, by event.
CHARTS: dict[str, dict[str, str]] = {
    "step_done": {
        "loss": "train/loss",
        "lr": "lr",
        "grad_norm": "grad_norm",
        "tokens_per_second": "tokens_per_second",
        "time_ms": "time_ms/step",
        "ce_loss": "train/ce_loss",
        "penalty": "train/penalty",
        "avg_max_prob": "train/avg_max_prob",
        "perplexity": "train/perplexity",
        "sparsity": "sparsity",
    },
    "eval_done": {
        "train_loss": "train/eval_loss",
        "val_loss": "val/loss",
        "perplexity": "val/perplexity",
        "ce_loss": "val/ce_loss",
        "penalty": "val/penalty",
        "avg_max_prob": "val/avg_max_prob",
    },
}
# Field of a step that holds fields of its own -> the prefix of their charts.
GROUPS = {"times_ms": "time_ms/", "memory": "memory/", "gradients": "gradients/"}
LAYER_LOOKS = {"norm": "weight_norm/", "update_ratio": "update_ratio/"}  # of the weights of one layer


def scalars(fields: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line by the name of their chart; what is unknown is left out."""
    charts = {chart: fields.get(field) for field, chart in CHARTS.get(fields["event"], {}).items()}
    charts["mfu"] = (fields.get("mfu") or {}).get("mfu")
    for group, prefix in GROUPS.items():
        charts |= {prefix + name: value for name, value in (fields.get(group) or {}).items()}
    gradients, weights = fields.get("gradients") or {}, fields.get("weights") or {}
    layers = (fields.get("pruning") or {}).get("layers", {})
    charts |= {f"sparsity/{layer}": share for layer, share in layers.items()}
    charts |= {f"gradient_norm/{layer}": norm for layer, norm in gradients.get("layers", {}).items()}
    for layer, looks in weights.get("layers", {}).items():
        charts |= {prefix + layer: looks.get(look) for look, prefix in LAYER_LOOKS.items()}
    numbers = {chart: value for chart, value in charts.items() if isinstance(value, int | float)}
    return {chart: float(value) for chart, value in numbers.items() if not isinstance(value, bool)}
