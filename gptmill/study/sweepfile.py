"""Reads a sweep file of Weights & Biases: a YAML of ``method``, ``metric`` and ``parameters``, run here without a server."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gptmill.config.coerce import as_bool
from gptmill.config.wording import config_error, nearest, one_line, show
from gptmill.config.yamltree import Node, read_tree
from gptmill.errors import UserError
from gptmill.study.parameters import DISTRIBUTIONS, OF_LOGS, Parameter

METHODS = ("grid", "random", "bayes")
GOALS = ("minimize", "maximize")
IGNORED = ("apiVersion", "kind", "controller", "description", "name")  # of no meaning to a run
KEYS = (
    *("program", "command", "method", "metric", "parameters", "early_terminate", "run_cap", "project", "entity"),
    *IGNORED,
)
ELSEWHERE = {  # what only a server of theirs can do
    "job": "starts runs on W&B's queues",
    "image_uri": "starts runs on W&B's queues",
    "scheduler": "runs a program of its own",
    "metrics": "is a search for several goals",
}
METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
OF_A_PARAMETER = ("value", "values", "probabilities", "distribution", "parameters", "min", "max", "mu", "sigma", "q")
BANDS = ("type", "min_iter", "max_iter", "s", "eta", "strict")


@dataclass(frozen=True)
class Bands:
    """When runs are compared to be stopped early: after so many evaluations; the best 1/eta go on.

    Args:
        strict: by the evaluation at the band, else by the best so far.
    """

    at: tuple[int, ...]
    eta: float
    strict: bool


@dataclass(frozen=True)
class Sweep:
    """
    Args:
        fixed: words that the file's command gives to every run.
        target: a metric at which the search is over.
        run_cap: most runs.
    """

    path: str
    method: str
    parameters: tuple[Parameter, ...]
    metric: str
    maximize: bool
    target: float | None = None
    fixed: tuple[str, ...] = ()
    run_cap: int | None = None
    bands: Bands | None = None
    project: str | None = None
    entity: str | None = None

    @property
    def varied(self) -> list[Parameter]:
        return [each for each in self.parameters if each.varies]


def read_sweep(text: str, path: str, metrics: Iterable[str]) -> Sweep:
    """
    Args:
        metrics: names of what can be compared, the usual one first.

    Raises:
        ConfigError: everything wrong with the file, but for the keys and values that it sweeps.
    """
    tree = read_tree(text, path) if path.endswith((".yaml", ".yml")) else None
    if tree is None or not isinstance(tree.value, dict) or not tree.value.keys() & {"method", "parameters"}:
        raise UserError(f"{path}: is not a sweep; a sweep is a YAML file with method: and parameters:")
    return _Reader(path).sweep(tree, list(metrics))


class _Reader:
    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []

    def sweep(self, tree: Node, metrics: list[str]) -> Sweep:
        found = self.mapping(tree, "a sweep", KEYS)
        for theirs in [name for name in found if name in ELSEWHERE]:
            self.wrong(found.pop(theirs), f"{theirs}: {ELSEWHERE[theirs]}, which is not run here; leave it out")
        method = self.one_of(found, "method", METHODS) or "grid"
        metric = self.mapping(found["metric"], "metric", METRIC_KEYS) if "metric" in found else {}
        parameters = self.parameters(found["parameters"]) if "parameters" in found else []
        if "parameters" not in found:
            self.problems.append(f"{self.path}: has no parameters; write which keys to sweep")
        wanted = self.one_of(metric, "name", metrics) if "metric" in found else None
        goal = self.one_of(metric, "goal", GOALS) if "goal" in metric else GOALS[0]
        if method == "bayes" and "metric" not in found:
            self.problems.append(f"{self.path}: method: bayes needs a metric; write metric: {{name: {metrics[0]}}}")
        self.twice(parameters)
        if method == "grid":
            self.can_be_walked(parameters)
        sweep = Sweep(
            path=self.path,
            method=method,
            parameters=tuple(parameters),
            metric=wanted or metrics[0],
            maximize=goal == "maximize",
            target=self.number(metric["target"], "target") if "target" in metric else None,
            fixed=self.command(found),
            run_cap=self.whole(found["run_cap"], "run_cap") if "run_cap" in found else None,
            bands=self.bands(found["early_terminate"]) if "early_terminate" in found else None,
            project=self.text(found.get("project")),
            entity=self.text(found.get("entity")),
        )
        if self.problems:
            raise config_error(self.problems)
        return sweep

    def wrong(self, node: Node, says: str) -> None:
        self.problems.append(f"{self.path}:{node.line}: {says}")

    def mapping(self, node: Node, what: str, keys: Iterable[str]) -> dict[str, Node]:
        """A mapping's entries; those of other names are problems."""
        if not isinstance(node.value, dict):
            self.wrong(node, f"{what}: must be lines of key: value")
            return {}
        known = [*keys, *(ELSEWHERE if what == "a sweep" else ())]
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

    def command(self, found: dict[str, Node]) -> tuple[str, ...]:
        """What the command gives to the program besides the parameters."""
        node, program = found.get("command"), self.text(found.get("program")) or "train.py"
        if program.rpartition("/")[2] not in ("train.py", "gptmill"):
            self.wrong(found["program"], f"program: {show(program)}: only train.py is swept here; it is gptmill train")
        if node is None:
            return ()
        words = [each.value for each in node.value] if isinstance(node.value, list) else []
        texts = [word for word in words if isinstance(word, str)]
        starts = [n for n, word in enumerate(texts) if word in ("${program}", program, "train")]
        if not texts or len(texts) < len(words) or not starts:
            self.wrong(node, "command: must be a list of words with ${program} and ${args} in it")
            return ()
        return tuple(word for word in texts[starts[-1] + 1 :] if not word.startswith("${"))

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

    def can_be_walked(self, parameters: list[Parameter]) -> None:
        for each in parameters:
            if each.grid() is None:
                says = f"a grid needs values, and {each.distribution} has no end of them; try method: random"
                self.problems.append(f"{each.origin}: {each.name}: {says}")

    def bands(self, node: Node) -> Bands | None:
        """Evaluations after which hyperband compares; W&B's package ``sweeps``, hyperband_stopping.py."""
        found = self.mapping(node, "early_terminate", BANDS)
        if not found or self.one_of(found, "type", ["hyperband"]) is None:
            return None
        eta = self.number(found["eta"], "eta") if "eta" in found else 3.0
        strict = as_bool(self.text(found.get("strict")) or "true")
        if eta <= 1 or strict is None:
            self.wrong(node, "early_terminate: eta must be above 1, and strict true or false")
            return None
        if "min_iter" in found:
            first = self.whole(found["min_iter"], "min_iter")
            return Bands(tuple(int(first * eta**n) for n in range(100) if first * eta**n < 1e9), eta, strict)
        if "max_iter" not in found or "s" not in found:
            self.wrong(node, "early_terminate: needs min_iter, or max_iter and s")
            return None
        last, s = self.whole(found["max_iter"], "max_iter"), self.whole(found["s"], "s")
        return Bands(tuple(int(last / eta**n) for n in range(s, 0, -1) if last / eta**n >= 1), eta, strict)
