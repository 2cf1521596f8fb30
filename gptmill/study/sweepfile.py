"""Reads a sweep file of Weights & Biases: a YAML of ``method``, ``metric`` and ``parameters``, run here without a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gptmill.config.coerce import as_bool
from gptmill.config.wording import config_error, show
from gptmill.config.yamltree import Node, read_tree
from gptmill.errors import UserError
from gptmill.study.parameterfile import ParameterReader
from gptmill.study.parameters import Parameter

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
MOST_EVALUATIONS = 1e9
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
        study = tree is not None and isinstance(tree.value, dict) and "arms" in tree.value
        way_out = (
            f"it is a study: `gptmill ablate {path}`"
            if study
            else "a sweep is a YAML file with method: and parameters:"
        )
        raise UserError(f"{path}: is not a sweep; {way_out}")
    return _Reader(path).sweep(tree, list(metrics))


class _Reader(ParameterReader):
    def sweep(self, tree: Node, metrics: list[str]) -> Sweep:
        found = self.mapping(tree, "a sweep", KEYS, ELSEWHERE)
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
            self.known(parameters)  # else they are found with the values
            raise config_error(self.problems)
        return sweep

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
            first: float = self.whole(found["min_iter"], "min_iter")
            return Bands(tuple(int(at) for at in _steps(first, eta, MOST_EVALUATIONS)), eta, strict)
        if "max_iter" not in found or "s" not in found:
            self.wrong(node, "early_terminate: needs min_iter, or max_iter and s")
            return None
        last, s = self.whole(found["max_iter"], "max_iter"), self.whole(found["s"], "s")
        down = [int(at) for at in _steps(last / eta, 1 / eta, 1.0)][:s]
        return Bands(tuple(sorted(down)), eta, strict)


def _steps(first: float, times: float, end: float) -> Iterator[float]:
    """first, first x times, ... as long as it has not passed the end; at most a hundred."""
    at = first
    for _ in range(100):
        if (at > end) if times > 1 else (at < end):
            return
        yield at
        at *= times
