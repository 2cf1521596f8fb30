"""The guide's table of optimizers is the code's, and its bytes are those of PyTorch's own optimizers."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from gptmill.cli.optimizer_table import ROWS, optimizer_table
from gptmill.config.schema import Optimizer

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "optimizers.md").read_text()


def test_the_pages_table_is_printed_by_the_code_and_has_every_optimizer() -> None:
    assert optimizer_table() in PAGE
    assert {row.words.split()[0] for row in ROWS} == {f"--optimizer={name}" for name in get_args(Optimizer)}
