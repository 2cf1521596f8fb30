"""Whatever several processes share out, they make the run of one, and any number of them reads what they saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gptmill.cli.parts import new_state
from gptmill.parallel.launch import Place
from gptmill.plan.memory import memory_of
from gptmill.train.capture import capture
from gptmill.train.loading import load
from tests.cli.run import ROOT
from tests.parallel import shares

TORCHRUN = str(Path(sys.executable).with_name("torchrun"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shares")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    return shares.trained(shares.plan_of("none", 1), Place(), folder / "none")


@pytest.fixture(scope="module")
def together(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes tells of each strategy."""
    done = subprocess.run(
        [TORCHRUN, "--standalone", "--nproc_per_node=2", "-m", "tests.parallel.shares", str(folder)],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("strategy", ["ddp", "zero1", "fsdp"])
def test_every_strategy_makes_the_run_of_one_process(
    strategy: str, alone: dict[str, Any], together: list[dict[str, Any]], folder: Path
) -> None:
    for told in together:
        assert told[strategy]["losses"] == pytest.approx(alone["losses"], abs=1e-5)
        assert told[strategy]["norms"] == pytest.approx(alone["norms"], rel=1e-4)
        assert told[strategy]["same"], "read back, a share is another"
        looked, expected = told[strategy]["gradients"], alone["gradients"]
        assert looked["layers"] == pytest.approx(expected["layers"], rel=1e-3)
        assert [looked[key] for key in looked if key != "layers"] == pytest.approx(
            [expected[key] for key in looked if key != "layers"], rel=1e-3, abs=1e-6
        )
        assert told[strategy]["frozen"] == alone["frozen"] == []
    plan = shares.plan_of("none", 1)
    mine, other = new_state(plan), new_state(plan)
    load(folder / "none" / "checkpoints" / "step_00000020", mine)
    load(folder / strategy / "checkpoints" / "step_00000020", other)
    for name, weight in capture(other).weights.items():
        assert weight.numpy() == pytest.approx(capture(mine).weights[name].numpy(), abs=1e-5), name
    assert other.iter == 20 and capture(other).moments.keys() == capture(mine).moments.keys()
    # and one process goes on from what two of them saved as if it had been alone all the time
    gone_on = shares.gone_on(plan, other)
    assert len(gone_on) == 5 and gone_on == pytest.approx(shares.gone_on(plan, mine), abs=1e-5)


@pytest.mark.parametrize("optimizer", shares.RULES)
def test_every_update_rule_makes_the_run_of_one_process(
    optimizer: str, together: list[dict[str, Any]], folder: Path
) -> None:
    plan = shares.plan_of("none", 1, optimizer)
    alone = shares.trained(plan, Place(), folder / f"{optimizer}-alone")
    for told in together:
        assert told[optimizer]["losses"] == pytest.approx(alone["losses"], abs=1e-3)  # Muon rounds to bfloat16
        assert told[optimizer]["same"], "read back, a share is another"
    mine, other = new_state(plan), new_state(plan)
    load(folder / f"{optimizer}-alone" / "checkpoints" / f"step_{plan.max_iters:08}", mine)
    load(folder / optimizer / "checkpoints" / f"step_{plan.max_iters:08}", other)
    for name, weight in mine.model.named_parameters():
        assert dict(other.model.named_parameters())[name].detach().numpy() == pytest.approx(
            weight.detach().numpy(), abs=1e-3
        ), name
    assert capture(other).moments.keys() == capture(mine).moments.keys()


@pytest.mark.parametrize("strategy", ["ddp", "zero1", "fsdp"])
def test_a_process_holds_what_the_plan_says(strategy: str, together: list[dict[str, Any]]) -> None:
    memory = memory_of(shares.plan_of(strategy, 2))
    planned = memory.weights + memory.optimizer
    measured = sum(told[strategy]["bytes"] for told in together) / 2
    assert measured == pytest.approx(planned, rel=0.03)  # masks of the manual kernel and step counters are the rest
