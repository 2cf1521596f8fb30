"""Turns what was written (text from YAML and flags, literals from ``.py``) into the type a key declares.

Text that reads as a number is one where a number is due; nothing else is guessed, and no value changes meaning:
``True`` is not 1, ``2.5`` is not 2.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gptmill.config.schema import Config
from gptmill.config.wording import LOGIN_IN_URL, nearest

WHOLE = re.compile(r"[+-]?\d+(_\d+)*", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MAX_DIGITS = 60
TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
EXACT = 2**53  # floats above this skip whole numbers


def arms(key: str) -> list[tuple[Any, list[Any]]]:
    """The alternatives of a key's type, each with its bounds: ``Count | None`` -> [(int, [Ge(1)]), (NoneType, [])]."""
    field = Config.model_fields[key]
    found = []
    for arm in get_args(field.annotation) if _is_union(field.annotation) else [field.annotation]:
        kind, *extra = get_args(arm) if get_origin(arm) is Annotated else [arm]
        bounds = [b for e in [*extra, *field.metadata] for b in getattr(e, "metadata", None) or [e]]
        found.append((kind, bounds))
    return found


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def is_switch(key: str) -> bool:
    return any(kind is bool for kind, _ in arms(key))


def choices(key: str) -> list[str]:
    """The words a key accepts besides its plain types: ['auto'] for compile, all names for normalization."""
    return [str(c) for kind, _ in arms(key) if get_origin(kind) is Literal for c in get_args(kind)]


def expects(key: str) -> str:
    """What the key accepts, in words: 'a whole number, at least 1'."""
    words = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}
    parts = []
    if is_switch(key) and choices(key):
        return f"True, False or {', '.join(choices(key))}"
    for kind, bounds in arms(key):
        if kind in words:
            parts.append(", ".join([words[kind], *_limits(bounds)]))
        elif get_origin(kind) is Literal:
            parts.append(f"{'one of ' if len(get_args(kind)) > 1 else ''}{', '.join(map(str, get_args(kind)))}")
    return " or ".join(parts)


def _limits(bounds: Iterable[object]) -> list[str]:
    says = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return [f"{says[n]} {getattr(b, n)}" for b in bounds for n in says if getattr(b, n, None) is not None]


def coerce(key: str, value: object, also: Iterable[str] = ()) -> object:
    """``value`` as the key's type.

    Args:
        also: words the key accepts besides those of the schema.

    Raises:
        ValueError: it cannot be read as that type; the message says what the key expects.
    """
    kinds = [kind for kind, _ in arms(key)]
    words = [*choices(key), *also]
    if isinstance(value, str) and value in words:
        return value
    if isinstance(value, str) and LOGIN_IN_URL.search(value):  # a run folder keeps every value, and is shared
        raise ValueError("holds a login; a secret belongs into the environment or a credentials file")
    for kind, read in ((bool, as_bool), (int, _as_int), (float, _as_float), (str, _as_text)):
        if kind in kinds:
            result = read(value)
            if result is not None:
                return result
    if str in kinds and isinstance(value, str):
        raise ValueError("holds characters that cannot be printed; type it anew")
    hint = nearest(value, words) if isinstance(value, str) else ""
    raise ValueError(f"must be {expects(key)}{hint}")


def as_bool(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).lower() if isinstance(value, int | str) else ""
    return True if word in TRUE else False if word in FALSE else None


def _as_int(value: object) -> int | None:
    if isinstance(value, str):
        if _reads_as(WHOLE, value):
            return int(value)
        value = _as_float(value)  # 1e9 tokens
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _reads_as(form: re.Pattern[str], text: str) -> bool:
    return len(text) <= MAX_DIGITS and form.fullmatch(text.strip()) is not None


def _as_float(value: object) -> float | None:
    if isinstance(value, str) and _reads_as(NUMBER, value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _as_text(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() else None
