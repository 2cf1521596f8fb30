"""Reads a command line: config files, and flags as one layer. ``--key=value``, ``--key value``, ``--key``, ``--no-key``."""

from __future__ import annotations

import re

from gptmill.config import coerce, later
from gptmill.config.aliases import NO_EFFECT_SWITCHES, RENAMED, SWITCHES
from gptmill.config.layers import Reading, Setting
from gptmill.config.names import KNOWN
from gptmill.config.schema import Config
from gptmill.config.wording import nearest, one_line

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
QUOTED = re.compile(r"'([^'\\]*)'|\"([^\"\\]*)\"")
NULL = ("None", "null")


def parse_flags(argv: list[str]) -> tuple[list[str], Reading]:
    """Split ``argv`` into config names, in order, and the flags' settings; a repeated flag keeps its last value.

    Dashes in a name equal underscores and only the first ``=`` splits. A switch takes the next word only if that
    word is a truth value, so ``--compile configs/quick.py`` reads as two things.
    """
    configs: list[str] = []
    reading = Reading()
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if not token.startswith("-"):
            configs.append(token)
            continue
        flag, equals, text = token.partition("=")
        shown = one_line(flag)
        name = flag[2:].replace("-", "_")
        if not flag.startswith("--") or not NAME.fullmatch(name):
            hint = nearest(name, KNOWN)
            reading.problems.append(f"{shown}: not a flag{hint}; write --key=value with a key from --help")
            if not equals and tokens and not tokens[0].startswith("-"):
                tokens.pop(0)  # most likely its value: no second complaint
            continue
        negated = _negated(name)
        if negated:
            name = negated
            if equals:
                reading.problems.append(f"{shown}: takes no value; write --{name}=True or --{name}=False")
                continue
            value: object = False
        elif name.startswith("no_") and not _is_known(name) and _is_known(name[3:]):
            reading.problems.append(f"{shown}: {name[3:]} is no switch that could be off; write --{name[3:]}=VALUE")
            continue
        elif equals:
            value = _unquoted(text)
        elif takes_value(name, tokens):
            value = _unquoted(tokens.pop(0))
        elif is_switch(name) or not _is_known(name):
            value = True
        else:
            reading.problems.append(f"{shown}: needs a value; write {shown}=VALUE")
            continue
        if name == "config":
            configs.append(str(value))
        else:
            reading.layer[name] = Setting(value, shown)
    return configs, reading


def is_switch(name: str) -> bool:
    """``--name`` alone means True."""
    key = RENAMED.get(name, name)
    known_switch = key in Config.model_fields and coerce.is_switch(key)
    return known_switch or name in SWITCHES or name in NO_EFFECT_SWITCHES or later.is_switch(name)


def takes_value(name: str, rest: list[str]) -> bool:
    """The next word belongs to ``--name``."""
    if not rest:
        return False
    word = rest[0]
    if is_switch(name):
        key = RENAMED.get(name, name)
        words = coerce.choices(key) if key in Config.model_fields else []
        return word in words or word in NULL or coerce.as_bool(word) is not None
    return not word.startswith("-") or re.fullmatch(r"-[\d.].*", word) is not None


def _negated(name: str) -> str | None:
    """``no_compile`` -> ``compile``; None for a key that merely starts with ``no``."""
    if not name.startswith("no_") or _is_known(name):
        return None
    return name[3:] if is_switch(name[3:]) else None


def _is_known(name: str) -> bool:
    return name in KNOWN or name == "config"


def _unquoted(text: str) -> object:
    if text in NULL:
        return None
    quoted = QUOTED.fullmatch(text)
    return (quoted[1] or quoted[2] or "") if quoted else text
