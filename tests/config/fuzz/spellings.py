"""Every way to write one value: as a Python expression, as a YAML scalar, as words of a command line."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

PLAIN = re.compile(r"[A-Za-z0-9_./]([A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?")
NOTHING = ("None", "null", "Null", "NULL", "~")


@st.composite
def as_python(draw: st.DrawFn, value: Any) -> str:
    """An expression that Python evaluates to the value."""
    text = repr(value)
    if isinstance(value, bool):
        forms = [text, f"not {not value}", f"1 {'==' if value else '!='} 1", f"2.5 > {1 if value else 3}", f"({text})"]
    elif isinstance(value, int):
        by = draw(st.integers(1, 64))
        forms = [text, f"{value:_}", hex(value), f"({text})", f"{value // by} * {by} + {value % by}", f"-(-{value})"]
        forms += [f"{value - by} + {by}", f"{value * by} // {by}", f"{value} if True else 0", f"(\n    {value}\n)"]
        forms += [f"{value}.0"] if value < 2**50 else []
    elif isinstance(value, float):
        forms = [text, f"{value:.17e}", f"({text})", f"{text} * 1", f"+{text}", f"{text} if 1e-3 < 2 else 0"]
    elif isinstance(value, str):
        cut = draw(st.integers(0, len(value)))
        forms = [text, json.dumps(value, ensure_ascii=False), f"{value[:cut]!r} + {value[cut:]!r}"]
        forms += [f"f'{value}'"] if PLAIN.fullmatch(value) else []
        forms += [f'f"{value[:cut]}{{{value[cut:]!r}}}"'] if PLAIN.fullmatch(value) else []
    else:
        forms = [text]
    return draw(st.sampled_from(forms))


@st.composite
def as_yaml(draw: st.DrawFn, value: Any) -> str:
    """A YAML scalar; text is quoted where YAML would read something else."""
    if isinstance(value, bool):
        return draw(st.sampled_from(["true", "True", "yes", "on"] if value else ["false", "False", "no", "off", "OFF"]))
    if value is None:
        return draw(st.sampled_from(["", *NOTHING]))
    if isinstance(value, str):
        forms = [json.dumps(value, ensure_ascii=False), "'" + value.replace("'", "''") + "'"]
        if PLAIN.fullmatch(value) and value not in NOTHING:
            forms.append(value)
        return draw(st.sampled_from(forms))
    forms = [repr(value), f'"{value!r}"', f"+{value!r}"]
    forms += [f"{value:_}", f"{value}.0"] if isinstance(value, int) and value < 2**50 else []
    return draw(st.sampled_from(forms))


@st.composite
def as_words(draw: st.DrawFn, name: str, value: Any, switch: bool) -> list[str]:
    """The word or two words that set ``name`` on a command line.

    Args:
        switch: the name alone means True, and ``--no-NAME`` False.
    """
    flag = "--" + "".join(draw(st.sampled_from("_-")) if c == "_" else c for c in name)
    if isinstance(value, bool) and switch and draw(st.booleans()):
        return [flag if value else f"--no{draw(st.sampled_from('_-'))}{flag[2:]}"]
    text = str(value)
    if isinstance(value, str) and (value in NOTHING or value[0] in "'\""):
        text = next(f"{quote}{value}{quote}" for quote in "'\"" if quote not in value and "\\" not in value)
    if isinstance(value, bool) or value is None:
        text = draw(st.sampled_from([text, text.lower()] if value is not None else ["None", "null"]))
    if text.startswith("-") or draw(st.booleans()):
        return [f"{flag}={text}"]
    return [flag, text]
