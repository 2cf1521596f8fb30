"""What docs/guide/measure.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gptmill.config.schema import Config
from gptmill.plan.devices import device_of, peak_flops, table
from gptmill.track.meters import WARMUP_STEPS, WINDOW
from gptmill.track.summary import Summary
from gptmill.track.thinned import LIMIT
from tests.track.test_console import MEASURED, Screen, block
from tests.track.test_meters import gpt2, last

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "measure.md").read_text()
ROWS = [re.split(r" *\| *", line)[1:9] for line in PAGE.splitlines() if re.match(r"\| (NVIDIA|Tesla|AMD|Apple) ", line)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_peaks_are_the_codes(row: list[str]) -> None:
    name, *shown, memory, bandwidth, watts = row
    peaks = [peak_flops(name, dtype) for dtype in ("bfloat16", "float16", "tf32", "float32")]
    assert [f"{peak / 1e12:g}" if peak else "-" for peak in peaks] == shown
    found = device_of(name)
    assert found
    gib = found.mib / 1024 if found.mib else None
    assert [f"{value:.4g}" if value else "-" for value in (gib, found.bandwidth, found.watts)] == [
        memory,
        bandwidth,
        watts,
    ]


def test_every_device_is_on_the_page() -> None:
    assert [device_of(row[0]) for row in ROWS] == list(table())


def test_the_block_is_what_the_console_prints() -> None:
    shown = re.search(r"```\n(-{80}\n.*?)\n```", PAGE, re.DOTALL)
    assert shown
    lines = block(Screen(terminal=False), MEASURED)
    assert re.sub(r"ETA .*", "ETA ...", shown[1]).splitlines() == lines[len(lines) // 2 :]


def test_the_members_and_figures_are_the_codes(tmp_path: Path) -> None:
    mfu = last(gpt2())
    assert all(f"`{name}`" in PAGE for name in mfu)
    worked = (
        f"{mfu['tokens_per_sec']:,.0f} tokens/s, {mfu['achieved_tflops']:.2f} TFLOP/s and {mfu['mfu_percent']:.1f}% MFU"
    )
    assert worked in PAGE and f"{mfu['flops_per_token'] / 1e9:.4f} GFLOP" in PAGE
    assert WARMUP_STEPS == 5 and "first five steps" in PAGE and f"last {WINDOW} steps" in PAGE and f"{LIMIT:,}" in PAGE
    assert f"`log_save_interval` ({Config().log_save_interval})" in PAGE
    summary = Summary(tmp_path, params=1, flops_per_token=6, unigram_entropy=3.0, weights_sha256=str)
    assert all(f"`{name}`" in PAGE for name in summary.result()["time_split"])
    assert all(f"`{name}`" in PAGE for name in ("seconds", "wall_seconds", "goodput", "tokens_per_second", "mfu"))
