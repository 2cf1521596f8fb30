from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptmill.cli.plan_figures import MEMBERS, bar
from gptmill.cli.plan_page import WIDTH, show
from gptmill.config.schema import Config
from gptmill.plan.devices import find_device, machine_of
from gptmill.plan.memory import memory_of
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
    printed = page(spread)
    assert "over 8 devices" in printed and "80.00 GiB each" in printed
    assert printed.endswith("Start it: torchrun --standalone --nproc_per_node=8 -m gptmill train\n")


@pytest.mark.parametrize("columns", [50, 60, 79])
def test_a_narrow_terminal_gets_narrow_lines(columns: int, page: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = page(defaults(max_iters=100, dtype="float32", grad_clip=0)).splitlines()
    assert max(map(len, lines)) == columns  # the bar


@pytest.mark.parametrize("columns", [50, 70])
def test_the_bar_is_the_devices_memory_drawn_to_scale(columns: int) -> None:
    plan = defaults(batch_size=160, gradient_accumulation_steps=3)
    memory = memory_of(plan)
    drawn = bar(memory, 80 * 2**30, columns)
    assert len(drawn) == columns and drawn[0] == "[" and drawn[-1] == "]"
    for name, letter in MEMBERS:
        share = getattr(memory, name) / (80 * 2**30)
        assert abs(drawn.count(letter) / (columns - 2) - share) <= 1 / (columns - 2), name
    cut = bar(memory, 8 * 2**30, columns)
    assert len(cut) == columns and cut.endswith(">") and "." not in cut


def test_a_run_that_does_not_fit_is_told_what_does_and_that_its_time_is_hypothetical(page: Render) -> None:
    small = make_plan(
        Config(batch_size=240, effective_batch_size=480), data=OPENWEBTEXT, machine=machine_of(find_device("l4"))
    )
    printed = page(small)
    assert "(does not fit: " in printed and "nearest that fits: batch_size=" in printed and "if it fitted: " in printed
    assert "Start it" not in printed


def test_what_is_not_known_is_said(page: Render) -> None:
    unknown = Machine("cuda", "NVIDIA GeForce GTX 1080", cores=4, memory=None, bf16=False)
    printed = page(make_plan(Config(), data=OPENWEBTEXT, machine=unknown))
    assert "how much it has is not known" in printed and "nothing is published of NVIDIA GeForce GTX 1080" in printed


def test_of_a_part_from_outside_neither_memory_nor_time_is_known(page: Render) -> None:
    plan = defaults()
    own = dataclasses.replace(plan, shape=dataclasses.replace(plan.shape, normalization="my_norm"))
    printed = page(own)
    assert printed.count("not known: a part") == 2 and "\ncost" not in printed


def test_the_expected_loss_is_shown_where_the_law_applies_and_marked(page: Render) -> None:
    assert re.search(
        r"^loss +\d\.\d\d to \d\.\d\d expected at the end \(assumed", page(defaults(epochs=1)), re.MULTILINE
    )
    assert "\nloss" not in page(defaults())
