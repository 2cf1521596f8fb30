"""Values from files that may be damaged or edited: taken for what they should be, or for nothing."""

from __future__ import annotations

from typing import Any


def number(value: Any) -> float:
    """The value as a float; NaN for what is no number."""
    if type(value) is float:
        return value
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
    except OverflowError:
        return float("nan")


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
