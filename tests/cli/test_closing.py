"""What a run says last: where it is, what to do next, on lines that an 80-column terminal shows whole."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from gptmill.cli.closing import closing, standing
from gptmill.config.load import load

LONG = {
    "best_val_loss": 10.8234, "perplexity": 50182.13, "unigram_entropy": 7.4321, "tokens_per_second": 1_234_567.8,
    "mfu": 0.5123, "tokens": 123_456_789_012, "seconds": 86400 * 12 + 3600 * 11, "goodput": 0.78,
    "wall_seconds": 86400 * 15 + 3600 * 10,
    "time_split": {"warmup": 86400.0, "evaluation": 120_000.0, "checkpoint": 70_000.0, "other": 50_000.0},
}  # fmt: skip


def test_no_line_of_a_run_that_took_days_is_wider_than_80_columns(tmp_path: Path) -> None:
    said = closing({**LONG, "run_dir": "out"})
    assert max(map(len, said.splitlines())) <= 80
    assert "78% of 15 d 10 h wall time trained" in said
    for share in ("evaluation 9%", "warmup 6%", "checkpoint 5%", "other 1%", "MFU 51.2%"):
        assert share in said, share
    shares = said[said.index("78%") : said.index("run folder")]
    assert 99 <= sum(map(int, re.findall(r"(\d+)%", shares))) <= 101


def test_what_lost_processes_cost_is_named_beside_what_was_gained(tmp_path: Path) -> None:
    split = {**LONG["time_split"], "restart": 86400 * 15 * 0.2}  # type: ignore[dict-item]
    said = closing({**LONG, "run_dir": "out", "goodput": 0.58, "time_split": split})
    assert "58% of 15 d 10 h wall time trained" in said and "restart 19%" in said
    assert "restart" not in closing({**LONG, "run_dir": "out"})


def test_a_stopped_run_names_its_folder_its_page_and_a_command_that_goes_on_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "a run's"
    folder.mkdir()
    assert "report" not in standing(folder), "no page, no line"
    (folder / "report.html").touch()
    keys = {"out_dir": {"value": str(folder), "origin": "--out_dir"}}
    (folder / "config.json").write_text(json.dumps({"format": "gptmill-run", "keys": keys}))
    where, report, go_on = standing(folder).splitlines()
    assert (where, report) == (f"run folder {folder}", f"report     {folder}/report.html")
    gptmill, train, *words = shlex.split(go_on.removeprefix("go on"))
    assert (gptmill, train) == ("gptmill", "train")
    config = load(words).config
    assert (config.out_dir, config.init_from) == (str(folder), "resume")
