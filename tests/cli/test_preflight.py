"""What cannot fit is refused before anything is written, with a number and a config that does fit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gptmill import durable
from gptmill.cli.preflight import check_fits
from gptmill.cli.reality import PlanAndReality
from gptmill.config.schema import Config
from gptmill.errors import UserError
from gptmill.events import Notice, StepDone
from gptmill.plan.fit import needs
from gptmill.plan.plan import make_plan
from gptmill.plan.types import Plan
from tests.train.small import CPU, DATA, small_plan


def plan_of(**keys: object) -> Plan:
    return make_plan(Config(**{"device": "cpu", "vocab_size": 50304, **keys}), data=DATA, machine=CPU)  # type: ignore[arg-type]


def refused(plan: Plan, out_dir: Path | str = "out") -> str:
    with pytest.raises(UserError) as error:
        check_fits(plan, str(out_dir))
    (problem,) = error.value.problems
    return problem


def test_a_batch_too_large_is_refused_with_the_nearest_that_fits() -> None:
    plan = plan_of(batch_size=64, gradient_accumulation_steps=4, block_size=64, dtype="float32")
    small = replace(plan, device_memory=needs(plan) * 2 // 3)
    says = refused(small)
    assert re.match(r"batch_size=64: needs [\d.]+ GiB of [\d.]+ GiB on test; nearest that fits: .*; --force", says)
    found = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", says.partition("fits: ")[2])}
    offered = plan_of(block_size=64, dtype="float32", **found)
    assert offered.effective_batch_size == plan.effective_batch_size
    assert offered.batch_size < 64 and needs(offered) <= small.device_memory  # type: ignore[operator]
    check_fits(replace(offered, device_memory=small.device_memory), "out")


def test_a_few_percent_too_much_is_left_to_be_tried() -> None:
    plan = plan_of(batch_size=8, block_size=64)
    check_fits(replace(plan, device_memory=int(needs(plan) / 1.05)), "out")


def test_two_checkpoints_must_have_room_and_those_there_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small_plan()
    monkeypatch.setattr(durable, "free_bytes", lambda folder: 12 * plan.params)
    run = tmp_path / "run"
    assert re.match(rf"out_dir={run}: two checkpoints of .* need .* free on that disk", refused(plan, run))
    (run / "checkpoints" / "step_00000010").mkdir(parents=True)
    (run / "checkpoints" / "step_00000010" / "model.safetensors").write_bytes(b"\0" * 12 * plan.params)
    check_fits(plan, str(run))
    check_fits(replace(plan, eval_only=True), str(tmp_path / "other"))


def test_what_the_first_steps_took_stands_beside_the_plan() -> None:
    compare = PlanAndReality(small_plan(), lambda: 3 * 2**30)
    told = [
        answer
        for step in range(1, 40)
        for answer in compare(
            StepDone(step, loss=1.0, lr=0.1, grad_norm=1.0, tokens=64, seconds=9 if step <= 5 else 0.25)
        )
    ]
    (notice,) = told
    assert isinstance(notice, Notice) and notice.iter == 15
    assert "MiB planned, 3.00 GiB held at most" in notice.says and "250 ms" in notice.says
