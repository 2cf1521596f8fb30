"""What a run was asked for, as rows of text; a key that means nothing in this run says so."""

from __future__ import annotations

from typing import Any

from gptmill.report.tables import as_text

Row = tuple[str, str, str]  # key, value, set by

# Key: the key that it needs, and that one's value; None is anything but off.
NEEDS: dict[str, tuple[str, str | None]] = {
    "activation": ("ffn_type", "standard"),
    "rope_theta": ("position_encoding", "rope"),
    "decay_fraction": ("schedule", "wsd"),
    **dict.fromkeys(("schedule", "warmup_iters", "lr_decay_iters", "min_lr", "min_lr_ratio"), ("decay_lr", None)),
    **dict.fromkeys(
        (
            "early_stop_patience",
            "early_stop_min_delta",
            "early_stop_restore_best",
            "early_stop_overfit_patience",
            "early_stop_overfit_min_delta",
        ),
        ("early_stopping", None),
    ),
    "gradient_log_interval": ("gradient_monitor", None),
    **dict.fromkeys(("weight_monitor_interval", "weight_monitor_sample_size"), ("weight_monitor", None)),
    "log_save_interval": ("save_log_to_json", None),
    **dict.fromkeys(
        ("num_generate_samples", "generate_max_length", "temperature", "generate_top_k", "top_p"),
        ("generate_interval", None),
    ),
    **dict.fromkeys(("wandb_project", "wandb_run_name", "wandb_entity"), ("wandb_log", None)),
}


def settings(config: dict[str, dict[str, Any]]) -> tuple[list[Row], list[Row]]:
    """Rows of what someone set, and of the defaults."""
    rows = [
        (key, as_text(entry.get("value")) + without_effect(key, config), str(entry.get("origin", "default")))
        for key, entry in sorted(config.items())
    ]
    return [row for row in rows if row[2] != "default"], [row for row in rows if row[2] == "default"]


def without_effect(key: str, config: dict[str, dict[str, Any]]) -> str:
    """' (no effect: ffn_type is swiglu)', or nothing."""
    needed, wanted = NEEDS.get(key, ("", None))
    if needed not in config:
        return ""
    value = config[needed].get("value")
    has_effect = bool(value) if wanted is None else value == wanted
    return "" if has_effect else f" (no effect: {needed} is {as_text(value)})"
