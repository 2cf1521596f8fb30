"""``--explain``: every key, its value, and where the value was set."""

from __future__ import annotations

import sys

from gptmill.config.layers import DEFAULT
from gptmill.config.resolve import Resolved
from gptmill.config.schema import groups
from gptmill.config.wording import show


def explain(resolved: Resolved) -> int:
    """Print all settings by group: a table on a terminal, aligned plain text elsewhere; 0, as an exit code."""
    rows = [
        (group, key, show(getattr(resolved.config, key)), resolved.origins[key])
        for group, keys in groups().items()
        for key in keys
    ]
    if sys.stdout.isatty():
        _table(rows)
    else:
        _plain(rows)
    return 0


def _plain(rows: list[tuple[str, str, str, str]]) -> None:
    widest_value = max(len(value) for _, _, value, _ in rows)
    last = ""
    for group, key, value, origin in rows:
        if group != last:
            print(f"{group}")
            last = group
        print(f"  {key:<28} {value:<{widest_value}}  {origin}")


def _table(rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("group", "key", "value", "set by"):
        table.add_column(heading, style="dim" if heading == "group" else None)
    last = ""
    for group, key, value, origin in rows:
        style = "dim" if origin == DEFAULT else "bold"
        table.add_row(group if group != last else "", Text(key, style), Text(value, style), Text(origin, style))
        last = group
    Console().print(table)
