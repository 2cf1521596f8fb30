"""What docs/guide/ablate.md says and promises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gptmill.config.yamltree import read_tree
from gptmill.study.design import DETECT, SEEDS, read_design
from gptmill.study.findings import DROP
from gptmill.study.statistics import ALPHA, FEWEST, detectable
from tests.cli.run import ROOT, gptmill

GUIDE = (ROOT / "docs" / "guide" / "ablate.md").read_text()
STUDIES = json.loads((ROOT / "benchmarks" / "results" / "studies.json").read_text())


def test_the_table_of_what_seeds_can_see_is_computed() -> None:
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", GUIDE, re.MULTILINE)
    assert len(rows) == 6
    for seeds, *shown in rows:
        found = [f"{detectable(int(seeds), paired=True, alpha=ALPHA / arms):.2f}" for arms in (1, 2, 4, 8)]
        assert shown == found, seeds


def test_the_limits_are_those_of_the_code() -> None:
    assert (SEEDS, FEWEST, ALPHA, DETECT, DROP) == (5, 3, 0.05, 0.01, 0.01)
    assert "Five is the default" in GUIDE and "before each seed after the third" in GUIDE
    assert "p below 0.01" in GUIDE and "below 0.05" in GUIDE and "one time in a hundred" in GUIDE


def test_the_guides_study_file_is_a_study() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    design = read_design(read_tree(text, "guide"), "guide")
    assert [arm.name for arm in design.arms] == ["quick", "gpt2", "no-decay"] and design.base[0] == "quick"


@pytest.mark.parametrize("command", re.findall(r"^    gptmill ablate (.*)$", GUIDE, re.MULTILINE))
def test_every_command_of_the_guide_can_be_planned(tmp_path: Path, command: str) -> None:
    done = gptmill(tmp_path, "ablate", *command.split(), *([] if "--dry_run" in command else ["--dry_run"]))
    assert done.code == 0, done.err


def test_the_figures_are_those_on_file() -> None:
    equal, same = STUDIES["a_a"], STUDIES["same_function"]
    gain, small = STUDIES["one_more_step"], STUDIES["learned_not_rope"]
    for row in (
        f"{equal['studies']} | {equal['claimed']}, at most 17",
        f"{equal['studies']} | {equal['claimed_as_pairs']}, at most 17",
        f"{equal['families']} | {equal['families_claimed']}, at most 11",
        f"{equal['families']} | {equal['families_claimed_with_arms_given_up']}, at most 11",
        f"{same['studies']} | {same['claimed']}, at most 11",
        f"{gain['studies']} | {gain['found']}, at least 33 | {gain['foretold']:.1f}",
        f"{gain['studies']} | {gain['found_without_pairing']} | {gain['foretold_without_pairing']:.1f}",
        f"{small['studies']} | {small['found']} | {small['foretold']:.1f}",
        f"{small['studies']} | {small['found_without_pairing']} | {small['foretold_without_pairing']:.1f}",
    ):
        assert row in GUIDE, row
    readme = (ROOT / "README.md").read_text()
    assert f"Of {equal['studies']} studies of equals {equal['claimed']} claimed a difference" in readme
    assert equal["claimed"] <= 17 and same["claimed"] <= 11 and gain["found"] >= 33


def test_what_is_said_of_killed_studies_is_on_file() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "studies_kill.json").read_text())
    guide = " ".join((ROOT / "docs" / "guide" / "sweep.md").read_text().split())
    parts = [found["sweep"], found["matrix"]]
    assert all(each["passed"] and each["completed_once"] == each["same_weights"] == each["runs"] for each in parts)
    assert all(set(each["signals"]) == {"SIGINT", "SIGTERM", "SIGKILL"} for each in parts)
    runs, signals, processes = ([each[name] for each in parts] for name in ("runs", "signals", "processes"))
    assert f"A sweep of {runs[0]} runs and a matrix of {runs[1]}, each ended {len(signals[0])} times" in guide
    assert f"took {processes[0]} and {processes[1]} processes" in guide
