"""The config half of ``--help``: every key with its default, what it does, what it accepts and its other names."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from gptmill.config.aliases import NO_EFFECT, aliases_of
from gptmill.config.coerce import expects
from gptmill.config.schema import groups
from gptmill.config.wording import show

WIDTH = 80
INDENT = " " * 6


def print_key_help(entrance: Mapping[str, object] | None = None) -> None:
    """Print all keys by group, at most 80 columns wide.

    Args:
        entrance: the command's own defaults, above the schema's.
    """
    print("Config keys: --key=value, --key value, --switch or --no-switch; dashes equal")
    print("underscores. In a config file: key = value (.py) or key: value (.yaml).")
    for group, keys in groups().items():
        print(f"\n{group}")
        for key, field in keys.items():
            print(f"  --{key} ({show((entrance or {}).get(key, field.default)) or 'empty'})")
            also = aliases_of(key)
            names = f" Also: {', '.join('--' + name for name in also)}." if also else ""
            _paragraph(f"{field.description}. Accepts {expects(key)}.{names}")
    print("\naccepted without effect, so that other trainers' configs run")
    _paragraph(", ".join(NO_EFFECT))


def _paragraph(text: str) -> None:
    print(textwrap.fill(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False))
