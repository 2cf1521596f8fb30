"""Sums worked by hand, and the sources of prices."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gptmill.config.schema import Config
from gptmill.plan.cost import PRICES, cost_of
from gptmill.plan.devices import device_of, find_device, machine_of
from gptmill.plan.plan import make_plan
from gptmill.plan.time import Forecast
from gptmill.plan.types import Plan

TEN_HOURS = Forecast(
    step=1.0, tokens_per_second=1.0, mfu=None, seconds=36_000.0, parts={}, first_checkpoint=None, shortest=30_000.0,
    longest=45_000.0, basis="assumed", because="a test",
)  # fmt: skip


def planned(device: str = "a100", world_size: int = 8) -> Plan:
    return make_plan(Config(), data=None, machine=machine_of(find_device(device)), world_size=world_size)


def test_rent_is_hours_times_devices_times_price_with_the_interval_of_the_time() -> None:
    cost = cost_of(planned(), TEN_HOURS, price=2.5)
    assert (cost.gpu_hours, cost.usd, cost.least, cost.most) == (80.0, 200.0, pytest.approx(166.67, abs=0.01), 250.0)
    assert cost.where is None and cost.per_hour == 2.5


def test_electricity_is_the_boards_power() -> None:
    cost = cost_of(planned(), TEN_HOURS, kwh_price=0.25)
    assert (cost.kwh, cost.power_usd) == (8 * 10 * 0.4, pytest.approx(8.0))
    assert cost_of(planned(), TEN_HOURS).power_usd is None


def test_a_listed_price_says_whose_it_is_and_when_it_was_read() -> None:
    cost = cost_of(planned("4090", 1), TEN_HOURS)
    assert cost.where and cost.where == PRICES["GeForce RTX 4090"] and cost.usd == 10 * cost.where.usd
    for name, price in PRICES.items():
        row = device_of(name)
        assert row and row.name == name and price.usd > 0 and "." in price.page
        assert date.fromisoformat(price.read) >= date(2026, 1, 1)


@pytest.mark.parametrize("keys", [{}, {"price": 0.0}])
def test_what_has_no_price_is_not_free(keys: dict[str, Any]) -> None:
    cost = cost_of(planned("w7900", 1), TEN_HOURS, **keys)
    assert cost.usd == (0.0 if keys else None)
