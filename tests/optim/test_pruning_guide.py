"""docs/guide/pruning.md says what the code has."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gptmill.config.coerce import choices
from gptmill.config.load import load
from gptmill.config.schema import Config, groups
from gptmill.plan.pruning import KEPT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guide/pruning.md").read_text()


def test_keys_and_defaults_are_those_of_the_schema() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", PAGE, re.MULTILINE)[: len(groups()["pruning"])])
    assert set(rows) == set(groups()["pruning"])
    for key, told in rows.items():
        default = Config.model_fields[key].default
        assert told.strip("`") == ("max_iters" if default is None else str(default)), key


def test_methods_and_what_they_keep_are_those_of_the_plan() -> None:
    table = PAGE.split("## Methods")[1].split("\n\n")[1]
    kept = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d) bytes? \|$", table, re.MULTILINE))
    assert {name: int(n) for name, n in kept.items()} == {name: KEPT[name] for name in choices("pruning_method")[1:]}


def test_the_first_command_plans() -> None:
    command = re.search(r"^    gptmill train (.*)$", PAGE, re.MULTILINE)
    assert command and load(command[1].split()).config.pruning_method == "magnitude"


def test_costs_are_those_on_file() -> None:
    found = json.loads((ROOT / "benchmarks/results/pruning_cpu.json").read_text())["seconds"]
    for method, measured in found.items():
        other = measured["keeping_zero"] + measured["learning"]
        assert f"| `{method}` | {measured['pruning']:.1f} s | {other:.1f} s |" in PAGE, (method, measured)
        assert measured["prunable"] == 84_934_656
