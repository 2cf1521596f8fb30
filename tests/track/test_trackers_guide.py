"""What docs/guide/trackers.md says in numbers and names is what the code has, and its commands are understood."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

from gptmill.cli.trackers import KINDS
from gptmill.config.load import load
from gptmill.config.schema import Config
from gptmill.events import EvalDone
from gptmill.track import outbox
from gptmill.track.records import record
from gptmill.track.scalars import scalars
from tests.track.test_tensorboard import STEP

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "trackers.md").read_text(encoding="utf-8")


def test_the_commands_are_understood_and_turn_a_tracker_on() -> None:
    commands = re.findall(r"^    (?:WANDB_MODE=offline )?gptmill train (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        config = load(shlex.split(command)).config
        assert config.tensorboard_log != config.wandb_log
    assert set(re.findall(r"^    pip install (.*)$", PAGE, re.MULTILINE)) == {kind.package for kind in KINDS.values()}


def test_the_numbers_are_the_codes() -> None:
    assert f"{outbox.CAPACITY:,} lines at most" in PAGE
    assert f"waits {outbox.PATIENCE:g} seconds" in PAGE and outbox.GRACE == 60
    assert f"| `wandb_project` | `{Config().wandb_project}` |" in PAGE


def test_every_chart_is_in_the_table() -> None:
    table = PAGE.partition("| chart | of |")[2].partition("\n\n")[0]
    named = {name.replace("LAYER", "...") for name in re.findall(r"`([^`]+)`", table)} - set(Config.model_fields)
    penalty = {"ce_loss": 2.0, "penalty": 0.1, "avg_max_prob": 0.3}
    step, evaluation = record(replace(STEP, **penalty)), record(EvalDone(1, 2.0, 2.0, True, 0.1, **penalty))
    assert step and evaluation
    pruned = {"sparsity": 0.5, "pruning": {"layers": {"h.0.attn": 0.5}}}
    shown = scalars({**step, **pruned, "grad_norm": 1.0}) | scalars(evaluation)
    charts = {re.sub(r"/h\..*", "/...", chart) for chart in shown}
    # time_ms/data is one of time_ms/...
    assert {chart if chart in named else re.sub(r"/.*", "/...", chart) for chart in charts} == named
