"""How all tests run: one thread each, and examples that do not depend on the day or on how busy the machine is."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: tests run small models, beside other tests

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted: ``record_property("counted", "2,000 configs refused")``."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "counted":
                terminalreporter.write_line(f"counted: {value}")
