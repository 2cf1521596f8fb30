"""What docs/guide/report.md and compare.md print and promise."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gptmill.report import columns, verdict
from tests.cli.run import ROOT, gptmill
from tests.report.example import write_example

REPORT, COMPARE = ((ROOT / "docs" / "guide" / f"{name}.md").read_text() for name in ("report", "compare"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    write_example(folder / "out-gpt2", n_steps=300, floor=1.6, seed=1, config={"preset": "gpt2"})
    write_example(folder / "out-llama", n_steps=500, floor=1.35, seed=2, config={"preset": "llama"})
    write_example(folder / "out-quick", n_steps=100)
    return folder


@pytest.mark.parametrize("command", re.findall(r"^    gptmill (.*)$", REPORT + COMPARE, re.MULTILINE))
def test_every_command_of_the_guide_works(runs: Path, command: str) -> None:
    assert gptmill(runs, *shlex.split(command)).code == 0


def test_the_guides_comparison_is_the_commands(runs: Path) -> None:
    (command, shown), *_ = re.findall(r"```\n\$ gptmill ([^\n]*)\n(.*?)\n```", COMPARE, re.DOTALL)
    printed = gptmill(runs, *shlex.split(command), COLUMNS="80").out
    assert [line.rstrip() for line in printed.rstrip("\n").splitlines()] == shown.splitlines()


def test_the_guides_limits_are_those_of_the_code() -> None:
    assert f"fewer than {verdict.FEWEST_EVALS} evaluations" in REPORT
    assert f"more than {verdict.GAP} nats above" in REPORT
    assert f"gained less than {verdict.GAIN} nats" in REPORT
    assert f"at most {columns.MOST_LOOKS} looks" in REPORT
