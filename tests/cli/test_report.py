"""The commands themselves: what they write, print and refuse."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.cli.run import ROOT, SMALL, gptmill, prepare_tiny
from tests.report.example import write_example


def test_a_run_ends_with_its_page_and_report_writes_it_again(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    done = gptmill(tmp_path, "train", *SMALL, "--out_dir=out-run")
    assert done.code == 0 and "\nreport     out-run/report.html\n" in done.err, done.err
    first = (tmp_path / "out-run" / "report.html").read_text()
    assert "20 of 20" in first and "cdn.plot.ly" not in first.split("<script>")[0]
    done = gptmill(tmp_path, "report", "--run", "out-run", "--out", "page.html")
    assert (done.code, done.out) == (0, f"{tmp_path / 'page.html'}\n")
    assert "20 of 20" in (tmp_path / "page.html").read_text()
    assert gptmill(tmp_path, "report").out == "out-run/report.html\n"


def test_without_plotly_a_run_is_told_how_to_get_a_page_and_does_not_fail(tmp_path: Path) -> None:
    write_example(tmp_path / "out", n_steps=20)
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "plotly.py").write_text("raise ImportError(name='plotly')")
    hide = {"PYTHONPATH": f"{tmp_path / 'hidden'}:{ROOT}"}
    done = gptmill(tmp_path, "report", "--run", "out", **hide)
    assert (done.code, done.out) == (2, "") and "pip install" in done.err and "Traceback" not in done.err
    done = gptmill(tmp_path, "compare", "out", **hide)
    assert done.code == 0 and "1.5" in done.out and "no compare.html: a page needs plotly" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report", "--run", "none"], "--run none: not a run folder"),
        (["report", "--run", "out", "--out", "no/page.html"], "--out no/page.html: there is no folder no"),
        (["report", "--run", "out", "--out", "."], "--out .: is a folder"),
        (["report", "--run", "out", "--out", "/proc/x.html"], "/proc/x.html: cannot be written"),
        (["compare", "out", "--out", "/proc/x.html"], "/proc/x.html: cannot be written"),
        (["report", "--run", "out", "--out", "pipe"], "pipe: is not a file"),
        (["compare", "none", "out", "text"], "none: No such file"),
        (["compare", "out", "out/"], "a run is named twice"),
        (["compare", "out", "--json", "--markdown"], "give one of them"),
        (["compare", "out", "--latest", "0"], "--latest 0: must be at least 1"),
        (["compare", "--out_dir", "nowhere"], "--out_dir nowhere: no run there"),
    ],
)
def test_a_mistake_is_named_in_one_line_without_loading_torch(tmp_path: Path, words: list[str], says: str) -> None:
    write_example(tmp_path / "out", n_steps=20)
    (tmp_path / "text").write_text("no log")
    os.mkfifo(tmp_path / "pipe")
    done = gptmill(tmp_path, *words)
    assert done.code == 2 and done.out == "" and "Traceback" not in done.err
    assert says in done.err and "/proc/." not in done.err, "the name of a temporary file"
    assert all(line.startswith("error: ") for line in done.err.splitlines())


def test_compare_prints_one_object_or_tables_and_writes_a_page(tmp_path: Path) -> None:
    write_example(tmp_path / "out-a", n_steps=40, floor=2.0, config={"n_layer": 4})
    write_example(tmp_path / "out-b", n_steps=60, floor=1.0)
    found = gptmill(tmp_path, "compare", "out-a", "out-b", "--json").json()
    assert [row["run"] for row in found["runs"]] == ["out-b", "out-a"]
    assert found["equal"]["tokens"]["at"] == 40 * 1024 and found["differences"] == {"n_layer": {"out-a": 4, "out-b": 6}}
    assert not (tmp_path / "compare.html").exists()
    done = gptmill(tmp_path, "compare", "out-a", "out-b", COLUMNS="80")
    assert "Ranked by best validation loss" in done.out and max(map(len, done.out.splitlines())) <= 80
    assert "out-b leads" in (tmp_path / "compare.html").read_text()
    assert "| 1 | out-b |" in gptmill(tmp_path, "compare", "out-a", "out-b", "--markdown").out


def test_the_script_of_the_enhanced_trainers_finds_the_newest_runs_of_every_folder_named_like_out(
    tmp_path: Path,
) -> None:
    import subprocess

    from tests.report.test_compare import theirs

    for n, name in enumerate(("out", "out-gpt2", "out-llama")):
        write_example(tmp_path / name, n_steps=20)
        os.utime(tmp_path / name / "metrics.jsonl", (1000 + n, 1000 + n))
    (tmp_path / "out-theirs").mkdir()
    (tmp_path / "out-theirs" / "run_20260101_000000.json").write_text(json.dumps(theirs()))
    script = [sys.executable, str(ROOT / "compare_architectures.py"), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def names(*words: str) -> set[str]:
        done = subprocess.run([*script, *words], cwd=tmp_path, capture_output=True, text=True, env=environment)
        return {row["run"] for row in json.loads(done.stdout)["runs"]}

    theirs_log = "out-theirs/run_20260101_000000.json"
    assert names() == {"out", "out-gpt2", "out-llama", theirs_log}
    assert names("--latest", "2") == {"out-llama", theirs_log}
    assert names("--out_dir", "out-llama") == {"out-llama"}
    assert names(theirs_log) == {theirs_log}
