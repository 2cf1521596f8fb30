"""``gptmill schedule`` draws the rates that a run takes: numbers from the formulas of other trainers, pictures parsed back."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from gptmill.cli.main import main
from tests.cli.run import SMALL, gptmill, prepare_tiny

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["schedule", *words])
    done = capsys.readouterr()
    return int(ended.value.code or 0), done.out, done.err


def nanogpts(step: int, *, warmup: int, last: int, peak: float, floor: float) -> float:
    """get_lr of nanoGPT's train.py, written out anew."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if step > last:
        return floor
    share = 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (last - warmup)))
    return floor + share * (peak - floor)


def test_every_rate_is_nanogpts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = run(
        capsys, "--warmup_steps=50", "--total_steps=500", "--max_lr=1e-3", "--min_lr_ratio=0.1", "--save=lr.csv"
    )
    with open("lr.csv") as file:
        rows = list(csv.DictReader(file))
    assert code == 0 and [int(row["step"]) for row in rows] == list(range(500))
    for row in rows:
        wanted = nanogpts(int(row["step"]), warmup=50, last=500, peak=1e-3, floor=1e-4)
        assert float(row["learning_rate"]) == pytest.approx(wanted, rel=1e-12)


def test_the_json_holds_the_landmarks_and_the_corners_of_the_curve(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(
        capsys, "--warmup_iters=123", "--max_iters=4321", "--lr_decay_iters=4000", "--learning_rate=6e-4", "--json"
    )
    found = json.loads(out)
    assert found["peak"] == {"step": 123, "lr": 6e-4} and found["end"] == {"step": 4320, "lr": pytest.approx(6e-5)}
    rate = dict(zip(found["steps"], found["lr"]))
    assert rate[123] == max(found["lr"]) and rate[4000] == pytest.approx(6e-5) and rate[122] < rate[123]
    assert found["steps"] == sorted(set(found["steps"])) and found["steps"][0] == 0


def test_a_warmup_longer_than_the_run_is_drawn_as_it_is_and_warned_of(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The OpenWebText guide's own example: 2000 steps of warmup in a run of 1760 end at 0.00264, not at 0.003."""
    code, out, _ = run(capsys, "--warmup_steps", "2000", "--total_steps", "1760", "--max_lr", "0.003")
    said = " ".join(out.split())
    assert code == 0 and "peak 0.00264 at the last step" in said and "0.003 never comes" in said
    assert "warmup takes 2,000 steps and the run has 1,760" in said
    _, out, _ = run(capsys, "--warmup_steps=2000", "--total_steps=1760", "--max_lr=0.003", "--json")
    assert json.loads(out)["end"]["lr"] == pytest.approx(0.003 * 1760 / 2001)
    assert [piece["key"] for piece in json.loads(out)["advice"]] == ["warmup_iters"]


@pytest.mark.parametrize("columns", [50, 60, 200])
def test_a_narrow_terminal_gets_a_narrow_chart(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run(capsys, "quick")
    assert max(map(len, out.splitlines())) == min(80, columns)  # the axis


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_chart_fits_a_terminal_of_80_columns_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    done = gptmill(tmp_path, "schedule", "quick", PYTHONIOENCODING=encoding)
    lines = done.out.splitlines()
    assert done.code == 0 and max(map(len, lines)) <= 80
    axis = next(n for n, line in enumerate(lines) if set(line.strip()) <= set("└─+-") and line.strip())
    rows = [line[12:] for line in lines[2:axis]]
    assert lines[2].split()[0] == "0.003" and lines[axis - 1].split()[0] == "0"
    first = [next((n for n, row in enumerate(rows) if len(row) > x and row[x] != " "), None) for x in range(68)]
    assert None not in first, "every column is drawn"
    top = first.index(0)
    # column x stands for step x * 1800 / 68: warmup ends at step 100, in column 3; from there the curve only falls
    assert 2 <= top <= 5 and first[top:] == sorted(first[top:]) and first[: top + 1] == sorted(first[: top + 1])[::-1]
    assert all(ord(c) < 128 for c in done.out) == (encoding == "ascii")


def test_the_picture_is_the_curve(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "--warmup_iters=100", "--max_iters=1000", "--learning_rate=1e-3", "--save=lr.svg")
    tree = ElementTree.parse("lr.svg").getroot()
    (line,) = tree.findall(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    xs, ys = zip(*points)
    top = points[ys.index(min(ys))]
    assert list(xs) == sorted(xs) and top[1] == 50 and top[0] == pytest.approx(80 + 700 * 100 / 999, abs=0.01)
    x, y = points[-1]
    assert (x, y) == (780, pytest.approx(350 - 300 * nanogpts(999, warmup=100, last=1000, peak=1, floor=0.1), abs=0.01))
    assert "warmup ends" in [text.text for text in tree.findall(f"{SVG}text")]


def test_the_page_holds_picture_and_words_and_asks_for_nothing_from_elsewhere(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "--warmup_iters=2000", "--max_iters=1760", "--save=lr.html")
    page = Path("lr.html").read_text()
    assert page.count("<svg") == 1 and "warmup never ends" in page
    assert not re.search(r"<script|<link|src=|@import|url\(", page)


def test_a_png_needs_matplotlib_and_says_so_before_anything_else(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    code, out, err = run(capsys, "--save=lr.png")
    assert code == 2 and not out and err.count("\n") == 1 and "pip install matplotlib" in err and ".svg" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--save=lr.gif", [".svg", ".png"]),
        ("--save=nowhere/lr.svg", ["nowhere", "folder"]),
        ("--save=/proc/lr.svg", ["/proc/lr.svg: cannot be written", "with --save"]),
        ("--max_iters=0", ["max_iters=0"]),
        ("--epochs=3", ["epochs=3", "prepared"]),
        ("--warmup_stepz=3", ["warmup_steps"]),
        ("--warmup_steps=-1", ["--warmup_steps", "-1"]),
        ("nosuch.py", ["nosuch.py"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(here: Path, capsys: pytest.CaptureFixture[str], words: str, says: list[str]) -> None:
    code, out, err = run(capsys, *words.split())
    assert code in (2, 3) and not out and len(err.splitlines()) == 1 and all(word in err for word in says), err
    assert not list(here.iterdir())


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd"])
def test_the_drawn_rates_are_those_the_run_takes(tmp_path: Path, schedule: str) -> None:
    prepare_tiny(tmp_path)
    words = [*SMALL, f"--schedule={schedule}"]
    drawn = gptmill(tmp_path, "schedule", *words, "--json").json()
    assert gptmill(tmp_path, "train", *words, "--out_dir=out").code == 0
    events = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert drawn["lr"] == [event["lr"] for event in events if event["event"] == "step_done"]


def test_visualize_lr_schedule_knows_its_own_defaults(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "visualize_lr_schedule.py"), "--total_steps=5001", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["warmup_iters"], found["max_iters"], found["learning_rate"], found["min_lr"]) == (
        500,
        5001,
        6e-4,
        6e-5,
    )


def test_torch_is_never_imported(tmp_path: Path) -> None:
    code = "import sys; from gptmill.cli.main import run; run(['schedule', '--save=a.html']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
