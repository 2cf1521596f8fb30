"""Reads the parameters of a sweep file."""

from __future__ import annotations

from gptmill.config import later
from gptmill.config.names import KNOWN
from gptmill.config.wording import nearest, one_line, show
from gptmill.config.yamltree import Node
from gptmill.study.parameters import DISTRIBUTIONS, OF_LOGS, Parameter
from gptmill.study.reader import Reader

OF_A_PARAMETER = ("value", "values", "probabilities", "distribution", "parameters", "min", "max", "mu", "sigma", "q")


class ParameterReader(Reader):
    """A Reader that knows what a parameter may say."""

    def parameters(self, node: Node) -> list[Parameter]:
        """Those of a mapping and of mappings in it, whose names are for people only."""
        if not isinstance(node.value, dict) or not node.value:
            self.wrong(node, "parameters: must be lines of key: value")
            return []
        found: list[Parameter] = []
        for name, each in node.value.items():
            entries = self.mapping(each, f"parameter {one_line(name)}", OF_A_PARAMETER)
            if "parameters" in entries:
                found += self.parameters(entries["parameters"])
            elif entries:
                found += self.parameter(name, each, entries)
        return found

    def twice(self, parameters: list[Parameter]) -> None:
        first: dict[str, Parameter] = {}
        for each in parameters:
            if each.name in first:
                self.problems.append(
                    f"{first[each.name].origin} and {each.origin}: {each.name} is there twice; keep one"
                )
            first.setdefault(each.name, each)

    def parameter(self, name: str, node: Node, entries: dict[str, Node]) -> list[Parameter]:
        name, origin = name.replace("-", "_"), f"{self.path}:{node.line}"
        if "value" in entries:
            self.only(entries, "value", "value", "distribution")
            value = self.scalars(entries["value"], [entries["value"]])
            return [Parameter(name, origin, value)] if value else []
        if "values" in entries:
            self.only(entries, "values", "values", "probabilities", "distribution")
            listed = entries["values"].value
            values = self.scalars(entries["values"], listed if isinstance(listed, list) else [])
            weights = tuple(self.number(each, "probabilities") for each in self.listed(entries.get("probabilities")))
            if weights and (len(weights) != len(values) or min(weights) < 0 or sum(weights) <= 0):
                self.wrong(entries["probabilities"], "probabilities: must be one for each of values, 0 or more")
                weights = ()
            return [Parameter(name, origin, values, weights)] if values else []
        if not entries.keys() & {"min", "max", "distribution"}:
            self.wrong(node, f"parameter {one_line(name)}: needs value, values, or min and max")
            return []
        return self.range(name, node, entries)

    def range(self, name: str, node: Node, entries: dict[str, Node]) -> list[Parameter]:
        """A parameter with a distribution; without its name, that of its numbers."""
        bounds = [self.text(entries.get(word)) or "" for word in ("min", "max")]
        kind = "int_uniform" if all(bound.lstrip("+-").isdecimal() for bound in bounds) else "uniform"
        if "distribution" in entries:
            named = self.one_of(entries, "distribution", DISTRIBUTIONS)
            if named is None:
                return []
            kind = named
        wanted = DISTRIBUTIONS[kind][1]
        self.only(entries, kind, "distribution", *wanted)
        n = {word: value for word, value in wanted.items() if value is not None}
        missing = [word for word in wanted if word not in n and word not in entries]
        if missing:
            self.wrong(node, f"parameter {one_line(name)}: {kind} needs {' and '.join(missing)}")
            return []
        n |= {word: self.number(entries[word], word) for word in wanted if word in entries}
        if "min" in n and n["min"] > n["max"]:
            self.wrong(node, f"parameter {one_line(name)}: min is above max")
        if kind in OF_LOGS and n["min"] <= 0:
            self.wrong(node, f"parameter {one_line(name)}: {kind} needs a min above 0")
        if n.get("q", 1.0) <= 0 or n.get("sigma", 0.0) < 0:
            self.wrong(node, f"parameter {one_line(name)}: q must be above 0, and sigma not below")
        origin = f"{self.path}:{node.line}"
        return [Parameter(name.replace("-", "_"), origin, distribution=kind, numbers=n)]

    def only(self, entries: dict[str, Node], kind: str, *words: str) -> None:
        for word, node in entries.items():
            if word not in words:
                self.wrong(node, f"{word}: has no meaning beside {kind}; leave one of them out")

    def scalars(self, node: Node, listed: list[Node]) -> tuple[str | None, ...]:
        if not listed or any(isinstance(each.value, list | dict) for each in listed):
            self.wrong(node, f"{show(node.plain())}: must be {'values in a list' if listed != [node] else 'one value'}")
            return ()
        return tuple(each.value for each in listed if not isinstance(each.value, list | dict))

    def listed(self, node: Node | None) -> list[Node]:
        return node.value if node is not None and isinstance(node.value, list) else []

    def known(self, parameters: list[Parameter]) -> None:
        """Names that are no keys; who has a good file is told so with what else is wrong with its values."""
        for each in parameters:
            if each.name not in KNOWN and each.name not in later.KEYS:
                hint = nearest(each.name, KNOWN) or "; gptmill train --help lists them"
                self.problems.append(f"{each.origin}: {one_line(each.name)}: unknown key{hint}")

    def can_be_walked(self, parameters: list[Parameter]) -> None:
        for each in parameters:
            first: dict[float | str | None, str | None] = {}
            for value in each.values:
                same = number_or_text(value)
                if same in first:
                    listed = (
                        f"{value} is listed twice"
                        if value == first[same]
                        else f"{first[same]} and {value} are one value"
                    )
                    self.problems.append(
                        f"{each.origin}: {each.name}: {listed}, and a grid would train it twice; keep one"
                    )
                first.setdefault(same, value)
            if each.grid() is None:
                says = f"a grid needs values, and {each.distribution} has no end of them; try method: random"
                self.problems.append(f"{each.origin}: {each.name}: {says}")


def number_or_text(value: str | None) -> float | str | None:
    """By what two values are the same: 1e-3 is 0.001."""
    try:
        return float(value) if value is not None else None
    except ValueError:
        return value
