from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptmill.cli.plan_page import WIDTH, show
from gptmill.config.schema import Config
from gptmill.plan.outlook import outlook
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts, Machine, Plan

Render = Callable[..., str]
GUIDE = Path(__file__).parents[2] / "docs/guide/plan.md"
A100 = Machine("cuda", "NVIDIA A100-SXM4-80GB", cores=16, memory=80 * 2**30, bf16=True)
OPENWEBTEXT = DataFacts("openwebtext", "data/openwebtext", 9_035_582_198, 4_434_897, 50257, "gpt2", None)


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Render:
    monkeypatch.setenv("COLUMNS", "200")

    def render(settled: Plan, *argv: str) -> str:
        show(settled, outlook(settled), list(argv))
        return capsys.readouterr().out

    return render


def defaults(**keys: Any) -> Plan:
    return make_plan(Config(**keys), data=OPENWEBTEXT, machine=A100)


def test_the_guide_shows_the_page_that_the_command_prints(page: Render) -> None:
    shown = re.search(r"^```\n(.*?)\n```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown[1] == page(defaults()).rstrip("\n")


def test_no_line_is_wider_than_the_page_or_ends_in_spaces(page: Render) -> None:
    lines = page(defaults(max_iters=100, dtype="float32", grad_clip=0, vocab_size=50257)).splitlines()
    assert max(len(line) for line in lines) <= WIDTH
    assert all(line == line.rstrip() for line in lines)
    assert any(line.startswith("warning ") for line in lines)


def test_commands_and_paths_stay_in_one_piece(page: Render) -> None:
    long = "a-dataset-with-a-name/" * 8 + "end"
    settled = dataclasses.replace(defaults(), data_path=f"data/{long}")
    printed = page(settled, f"--dataset={long}", "--out_dir=my runs")
    assert f"data/{long}" in printed
    assert printed.endswith(f"Start it: gptmill train --dataset={long} '--out_dir=my runs'\n")


def test_a_run_without_steps_or_devices_to_share_is_still_shown(page: Render) -> None:
    assert "0 steps" in page(defaults(max_iters=0, eval_only=True))
    spread = make_plan(Config(), data=OPENWEBTEXT, machine=A100, world_size=8)
    assert "over 8 devices" in page(spread)
