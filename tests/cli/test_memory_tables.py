"""The guide's tables of memory are the code's, and its figures are those on file."""

from __future__ import annotations

import json
from pathlib import Path

from gptmill.cli.memory_tables import claims_table, naive_table, sharing_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "memory.md").read_text()


def test_the_pages_tables_are_printed_by_the_code() -> None:
    for table in (claims_table(), naive_table(), sharing_table()):
        assert table in PAGE


def test_the_pages_errors_are_those_on_file() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "memory_cpu.json").read_text())
    for says in (
        f"{found['configs']} configs",
        f"median error {found['median_error']:.1%}",
        f"95th percentile {found['percentile_95']:.1%}",
    ):
        assert says in PAGE, says
