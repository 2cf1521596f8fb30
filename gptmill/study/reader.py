"""Reads a tree of YAML for what it should be, and collects everything that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gptmill.config.wording import nearest, one_line, show
from gptmill.config.yamltree import Node


class Reader:
    """
    Args:
        path: the file's, as a person calls it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []

    def wrong(self, node: Node, says: str) -> None:
        self.problems.append(f"{self.path}:{node.line}: {says}")

    def mapping(self, node: Node, what: str, keys: Iterable[str], also: Iterable[str] = ()) -> dict[str, Node]:
        """A mapping's entries; those of other names are problems, but for ``also``."""
        if not isinstance(node.value, dict):
            self.wrong(node, f"{what}: must be lines of key: value")
            return {}
        known = [*keys, *also]
        for name, each in node.value.items():
            if name not in known:
                hint = nearest(name, known) or f"; {what} has {', '.join(keys)}"
                self.wrong(each, f"{one_line(name)}: unknown key of {what}{hint}")
        return {name: each for name, each in node.value.items() if name in known}

    def one_of(self, found: dict[str, Node], name: str, words: Iterable[str]) -> str | None:
        words = list(words)
        if name not in found:
            self.problems.append(f"{self.path}: has no {name}; one of {', '.join(words)}")
            return None
        value = found[name].value
        if value in words:
            return str(value)
        hint = nearest(value, words) if isinstance(value, str) else ""
        self.wrong(found[name], f"{name}: {show(found[name].plain())}: must be one of {', '.join(words)}{hint}")
        return None

    def number(self, node: Node, name: str) -> float:
        try:
            value = float(node.value) if isinstance(node.value, str) else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.wrong(node, f"{name}: {show(node.plain())}: must be a number")
            return 0.0
        return value

    def whole(self, node: Node, name: str) -> int:
        value = self.number(node, name)
        if not value.is_integer() or value < 1:
            self.wrong(node, f"{name}: {show(node.plain())}: must be a whole number, at least 1")
            return 1
        return int(value)

    def text(self, node: Node | None) -> str | None:
        return node.value if node is not None and isinstance(node.value, str) else None
