"""Keys and values that the vocabulary has and this version has not: refused with one line, never quietly ignored.

A value that asks for nothing (``use_fp8=False``) is accepted, so configs written for other
systems run where they mean the same. A capability that arrives moves its lines from here to the schema.
"""

from __future__ import annotations

from dataclasses import dataclass

OFF = ("false", "none", "0")  # of a switch
ON = ("true", "none")  # of a switch that turns something off, or is on by nature


@dataclass(frozen=True)
class Later:
    """A key whose capability is missing.

    Args:
        inert: the values that ask for nothing, as ``plain`` writes them.
    """

    capability: str
    inert: tuple[str, ...] = OFF


KEYS: dict[str, Later] = {
    "reinitialize_weights": Later("taking weights by this key (init_from=gpt2-medium and its like do)", ON),
    "use_fp8": Later("fp8 training"),
}


def plain(value: object) -> str:
    """One spelling per meaning: False, 'False', 0, 0.0 and None compare as text."""
    text = str(value).strip().lower()
    return {"no": "false", "yes": "true", "on": "true", "null": "none", "0.0": "0", "1": "true"}.get(text, text)


def is_switch(name: str) -> bool:
    """``--name`` alone means True."""
    return name in KEYS and KEYS[name].inert in (OFF, ON)
