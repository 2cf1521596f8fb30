"""Scaled rates against those that the OpenWebText document works out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from gptmill.config.schema import Config
from gptmill.errors import ConfigError
from gptmill.plan.plan import make_plan
from gptmill.plan.scaling import in_words
from gptmill.plan.types import Plan
from tests.plan.facts import AMPERE, data


def planned(**keys: Any) -> Plan:
    config = Config(**{"batch_size": 32, "gradient_accumulation_steps": 16, "reference_batch_size": 32, **keys})
    return make_plan(config, data=data(), machine=AMPERE)


@pytest.mark.parametrize(
    ("rule", "micro_steps", "rate"),
    [
        ("linear", 16, 9.6e-3),  # 512 sequences
        ("sqrt", 16, 2.4e-3),
        ("sqrt", 64, 4.8e-3),  # 2,048, where the document has 6e-3
        ("linear", 1, 6e-4),
        ("sqrt", 1, 6e-4),
        ("none", 16, 6e-4),
    ],
)
def test_the_rate_and_its_floor_scale_as_on_paper(rule: str, micro_steps: int, rate: float) -> None:
    plan = planned(lr_scaling=rule, gradient_accumulation_steps=micro_steps)
    assert (plan.learning_rate, plan.min_lr) == (rate, pytest.approx(rate / 10, rel=1e-12))


def test_the_batch_is_that_of_all_devices() -> None:
    eight = make_plan(
        Config(batch_size=64, effective_batch_size=512, lr_scaling="sqrt", reference_batch_size=32),
        data=data(), machine=AMPERE, world_size=8,
    )  # fmt: skip
    assert eight.learning_rate == 2.4e-3 and eight.micro_steps == 1


def test_a_floor_that_is_given_stays_and_one_above_the_scaled_peak_is_refused() -> None:
    assert planned(lr_scaling="linear", min_lr=1e-3).min_lr == 1e-3  # above 6e-4, below 9.6e-3
    with pytest.raises(ConfigError, match=r"min_lr=0\.0005: above the peak, which lr_scaling=sqrt makes 0\.00015"):
        planned(lr_scaling="sqrt", min_lr=5e-4, batch_size=2, gradient_accumulation_steps=1)


def test_scaling_from_no_batch_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="try reference_batch_size=N") as refused:
        planned(lr_scaling="linear", reference_batch_size=None)
    assert len(refused.value.problems) == 1


def test_the_words_show_the_sum() -> None:
    assert in_words(planned(lr_scaling="sqrt")) == "0.0024 = 0.0006 x sqrt(512 / 32)"
    assert in_words(planned(lr_scaling="linear")) == "0.0096 = 0.0006 x 512 / 32"
    assert in_words(planned()) == "0.0006"
