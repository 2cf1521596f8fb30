"""The guide's tables of time and cost are the code's, and its figures are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptmill.cli.guide_tables import CLAIMS, planned, steps_table, time_table
from gptmill.plan.cost import PRICES
from gptmill.plan.devices import find_device
from gptmill.plan.time import forecast

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "time.md").read_text()


def test_the_pages_tables_are_printed_by_the_code() -> None:
    assert time_table() in PAGE and steps_table() in PAGE


@pytest.mark.parametrize(
    ("words", "tokens", "steps"),
    [
        ("gpt2_124m_single_gpu", 29_491_200_000, 600_000),
        ("gpt2_124m_single_gpu --gradient_accumulation_steps=120", 294_912_000_000, 600_000),
        ("gpt2_124m_multi_gpu", 294_912_000_000, 600_000),
        ("--epochs=2 --effective_batch_size=512 --batch_size=32", 34_468 * 512 * 1024, 34_468),
    ],
)
def test_the_documents_runs_are_as_long_as_their_configs_say(words: str, tokens: int, steps: int) -> None:
    plan = planned(next(claim for claim in CLAIMS if claim.words == words))
    assert (plan.total_tokens, plan.max_iters) == (tokens, steps)


def test_nanogpts_four_days_lie_in_the_interval_and_the_documents_3090_does_not() -> None:
    eight = forecast(planned(next(claim for claim in CLAIMS if claim.gpus == 8)))
    assert eight and eight.shortest < 4 * 86_400 < eight.longest
    # 300B tokens on one RTX 3090 in 30 days: more FLOP/s than the card has
    plan = planned(next(c for c in CLAIMS if c.gpu == "RTX 3090" and "120" in c.words))
    assert plan.total_tokens * plan.flops_per_token / (30 * 86_400) > find_device("3090").tflops["bfloat16"] * 1e12
    time = forecast(plan)
    assert time and time.shortest > 30 * 86_400


def test_the_pages_figures_are_the_codes() -> None:
    assert "there are twelve" in PAGE and len(PRICES) == 12
    three = find_device("3060").tflops["bfloat16"]
    assert three == 25.5 and pytest.approx(90, abs=0.5) == 0.2 * 512 * 1024 * 854_654_976 / 1e12
