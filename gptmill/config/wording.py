"""Text from strangers (file names, keys, values) made fit for a one-line message."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from gptmill import registry
from gptmill.errors import ConfigError

MAX_PROBLEMS = 20  # a binary file given as a config must not fill the screen
LOGIN_IN_URL = re.compile(
    r"(:/{1,2})[^\s@]{1,200}@"
)  # pathlib makes one slash of two; keys of AWS have slashes in them
SECRET_SET = re.compile(
    r"((?:(?:(?:api|access)_?key|secret|passw(?:or)?d)[\w-]{0,20}|\btoken|[_-]token)=)[^\s:;,\"']+", re.IGNORECASE
)
LONGEST_SECRET = 4096


def one_line(text: str, limit: int = 80) -> str:
    """``text`` without control characters, lone surrogates or what looks like a login, cut to ``limit`` characters."""
    shown = without_secrets(text[: limit + LONGEST_SECRET])
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def without_secrets(text: str) -> str:
    """The text with ``***`` for the login in a URL and for what an API key or a password is set to."""
    return SECRET_SET.sub(r"\1***", LOGIN_IN_URL.sub(r"\1***@", text))


def show(value: object) -> str:
    """A value as a person would type it after ``--key=``."""
    return one_line(value if isinstance(value, str) else repr(value), 60)


def blame(origin: str, key: str, value: object) -> str:
    """``config/a.py:3: n_layer=0``, or ``--n-layer=0`` when the origin is the flag of that name."""
    same = origin.startswith("--") and origin[2:].replace("-", "_") == key
    text = show(value) or "''"
    return f"{origin}={text}" if same else f"{origin}: {key}={text}"


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or nothing. Long words get nothing: comparing them takes quadratic time."""
    if len(word) > 64:
        return ""
    low = word.lower()
    near = [name for name in sorted(known) if low == name.lower() or one_slip(low, name.lower())]
    # difflib alone finds beta2 nearer to bet1a than beta1, and nothing near a name of two letters
    close = difflib.get_close_matches(low, near, n=1, cutoff=0)
    return f"; did you mean {close[0]!r}?" if close else registry.nearest(word, sorted(known))


def one_slip(word: str, other: str) -> bool:
    """Whether a letter left out, added or replaced, or two neighbours swapped, turns one into the other."""
    if abs(len(word) - len(other)) > 1 or word == other or len(word) + len(other) < 3:
        return False
    start = next((i for i, (a, b) in enumerate(zip(word, other)) if a != b), min(len(word), len(other)))
    rest, tail = word[start:], other[start:]
    swapped = len(rest) > 1 and rest[1::-1] + rest[2:] == tail
    return swapped or rest[1:] == tail[1:] or rest == tail[1:] or rest[1:] == tail


def misspells(word: str, known: Iterable[str]) -> str | None:
    """The known name that ``word`` is one slip away from."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.85) if len(word) <= 64 else []
    return close[0] if close else None


def config_error(problems: list[str]) -> ConfigError:
    """One error with every problem once, in order, the tail of a very long list counted instead of listed."""
    unique = list(dict.fromkeys(problems))
    shown = unique[:MAX_PROBLEMS]
    if len(unique) > MAX_PROBLEMS:
        shown.append(f"... and {len(unique) - MAX_PROBLEMS} more problems; fix these first")
    return ConfigError(*shown)
