"""The law against the runs that its authors and others report."""

from __future__ import annotations

from typing import Any

import pytest

from gptmill.config.schema import Config
from gptmill.plan.loss import expected_loss, law
from gptmill.plan.plan import make_plan
from tests.plan.facts import AMPERE, data

OPENWEBTEXT = data(train=9_035_582_198, val=4_434_897)


def expected(**keys: Any) -> tuple[float, float] | None:
    return expected_loss(make_plan(Config(**keys), data=OPENWEBTEXT, machine=AMPERE))


def test_chinchilla_is_where_its_paper_has_it() -> None:
    # 70B parameters, 1.4T tokens: 1.936 with the constants that Hoffmann et al. 2022 print (1.69, 406.4, 410.7, 0.34, 0.28)
    assert law(70e9, 1.4e12) == pytest.approx(1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28, rel=0.02)
    # Gopher's 280B on 300B tokens is the worse model: the whole point
    assert law(280e9, 300e9) > law(70e9, 1.4e12)


def test_gpt2_124m_after_10b_tokens_ends_where_others_measured_it() -> None:
    interval = expected(max_tokens=10**10)
    assert interval and interval[0] < 3.28 < interval[1]  # llm.c: 3.28 after 10B tokens of FineWeb


@pytest.mark.parametrize(
    "keys",
    [
        {"max_iters": 600_000},  # 32 epochs
        {"n_layer": 2, "n_embd": 128, "n_head": 2, "max_tokens": 10**9},  # smaller than any it was fitted to
        {"max_tokens": 10**7},  # less than a token a parameter
        {"vocab_size": 200_064, "max_tokens": 10**10},
        {"dataset": "shakespeare", "max_tokens": 10**10},
    ],
    ids=str,
)
def test_where_the_law_was_not_fitted_nothing_is_said(keys: dict[str, Any]) -> None:
    assert expected(**keys) is None
