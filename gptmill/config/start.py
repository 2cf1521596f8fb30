"""``init_from``: which model a run begins with, and what a command line may still say about it."""

from __future__ import annotations

from typing import Any

from gptmill.config.layers import Layer, Reading
from gptmill.config.resolve import Resolved
from gptmill.config.rules.names import names_model
from gptmill.config.schema import Config
from gptmill.config.wording import one_line, show


def start_of(readings: list[Reading]) -> str | None:
    """The model that a run begins with where there is nothing to resume; None = random weights.

    --resume over a config with ``init_from = 'gpt2'`` means "go on if there is something", as schedulers use it.
    """
    named = [reading.layer["init_from"].value for reading in readings if "init_from" in reading.layer]
    said = [value for value in named if value != "resume"]
    return said[-1] if said and isinstance(said[-1], str) and names_model(said[-1]) else None


def contradictions(resolved: Resolved, decided: Layer) -> list[str]:
    """A line for each place that sets what the model to begin with has decided otherwise.

    A shorter context is a part of what was learned, and more ids than the tokenizer has do no harm.
    """
    by_origin: dict[str, list[str]] = {}
    for key, setting in decided.items():
        value = getattr(resolved.config, key)
        if value == setting.value or _fits(resolved.config, key, setting.value):
            continue
        origin = resolved.origins[key]
        by_origin.setdefault(origin, []).append(f"{key}={show(value)} (it has {show(setting.value)})")
    name = one_line(str(resolved.weights), 40)
    return [
        f"{_place(origin, told)}: init_from={name} is another model; leave {'it' if len(told) == 1 else 'them'} out"
        for origin, told in by_origin.items()
    ]


def _place(origin: str, told: list[str]) -> str:
    return f"--{told[0]}" if origin == f"--{told[0].partition('=')[0]}" else f"{origin}: {', '.join(told)}"


def _fits(config: Config, key: str, its: Any) -> bool:
    """Whether the model can be had so, or the plan makes of the config's value what the model has."""
    said = getattr(config, key)
    if key == "sliding_window":
        return its == 0 and (said == "off" or said >= config.block_size)
    if key in ("n_kv_head", "ffn_dim", "vocab_size") and said is None:
        return True
    return (key == "block_size" and said < its) or (key == "vocab_size" and said > its)
