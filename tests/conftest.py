"""How all tests run: one thread each, and examples that do not depend on the day or on how busy the machine is."""

import os
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: tests run small models, beside other tests

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[[int, str], None]:
    """``counted(45, "broken configs refused")``: the end of the test run prints the sum over all tests."""
    return lambda number, what: record_property("counted", (number, what))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    totals: dict[str, int] = {}
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "counted":
                number, what = value
                totals[what] = totals.get(what, 0) + number
    for what, number in totals.items():
        terminalreporter.write_line(f"counted: {number:,} {what}")
