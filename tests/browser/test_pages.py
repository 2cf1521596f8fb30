"""The pages in a real browser: every chart drawn, nothing asked for, no error, at a phone's width and at a desk's.

``make test-browser`` runs this and leaves screenshots in build/screenshots; without Chromium it says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptmill.report.compare import compare
from gptmill.report.compare_page import compare_page
from gptmill.report.run_page import run_page
from gptmill.report.runlog import read_run
from gptmill.study.design import Arm, Design
from gptmill.study.outcome import outcome
from gptmill.study.page import study_page
from tests.browser.chromium import Chromium, find_chromium
from tests.cli.run import SMALL, gptmill, prepare_tiny
from tests.report.example import write_example
from tests.report.test_page import HOSTILE
from tests.study.made import study

PROGRAM = find_chromium()
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium; apt-get install chromium"),
    pytest.mark.skipif("BROWSER_SHOTS" not in os.environ, reason="make test-browser runs this"),
]
DRAWN = """[...document.querySelectorAll('.chart')].map((chart) => {
  const box = chart.querySelector('.main-svg')?.getBoundingClientRect();
  const marks = chart.querySelectorAll('.scatterlayer path, .heatmaplayer image').length;
  return box && box.width > 100 && box.height > 100 && marks > 0 ? 'drawn' : chart.id;
})"""
CHARTS = {"trained": 7, "example": 9, "compare": 2}  # a CPU has no MFU; 20 steps look at no weights


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    assert PROGRAM
    with Chromium(PROGRAM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page that a real run wrote, that of a run with everything, and a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    prepare_tiny(folder)
    done = gptmill(folder, "train", *SMALL, "--out_dir=trained", "--generate_interval=10")
    assert done.code == 0, done.err
    (folder / "example.html").write_bytes(run_page(read_run(write_example(folder / "out-example", n_steps=2000))))
    settings = ("out-gpt2", 300, 1.6, 1e-3), ("out-llama", 500, 1.35, 2e-3)
    logs = [
        read_run(write_example(folder / name, n_steps=steps, floor=floor, seed=steps, config={"learning_rate": rate}))
        for name, steps, floor, rate in settings
    ]
    (folder / "compare.html").write_bytes(compare_page(logs, compare(logs)))
    return {
        "trained": folder / "trained" / "report.html",
        "example": folder / "example.html",
        "compare": folder / "compare.html",
    }


@pytest.mark.parametrize("width, dark", [(1400, False), (400, False), (1400, True)])
@pytest.mark.parametrize("name", CHARTS)
def test_a_page_draws_every_chart_without_error_or_request(
    chromium: Chromium, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    seen = chromium.open(pages[name], width=width, dark=dark)
    shots = Path(os.environ["BROWSER_SHOTS"])
    shots.mkdir(parents=True, exist_ok=True)
    chromium.photograph(shots / f"{name}-{width}{'-dark' if dark else ''}.png")
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
    assert chromium.evaluate(DRAWN) == ["drawn"] * CHARTS[name]
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width


def test_the_axis_buttons_change_the_axis_of_their_chart_alone(chromium: Chromium, pages: dict[str, Path]) -> None:
    chromium.open(pages["example"], width=1400)
    chromium.evaluate("document.querySelector('button[data-axis=tokens]').click()")
    chart = "document.getElementById('chart-{}').layout.xaxis"
    assert chromium.evaluate(chart.format("loss") + ".title.text") == "tokens"
    assert chromium.evaluate(chart.format("loss") + ".range[1]") > 2000 * 1024
    assert chromium.evaluate(chart.format("lr") + ".title.text") == "step"


def test_text_made_to_run_as_a_script_does_not(chromium: Chromium, tmp_path: Path) -> None:
    folder = write_example(tmp_path / "run", n_steps=40, config={f"key {n}": text for n, text in enumerate(HOSTILE)})
    log = read_run(folder)
    log.name, log.notices = HOSTILE[0], HOSTILE
    log.plan["advice"] = [{"key": text, "says": text, "because": text, "try_": text} for text in HOSTILE]
    (tmp_path / "page.html").write_bytes(run_page(log))
    chromium.ask("Page.addScriptToEvaluateOnNewDocument", source="window.alert = () => { window.ran = true; };")
    seen = chromium.open(tmp_path / "page.html", width=1400)
    assert chromium.evaluate("window.ran") is None
    assert seen.errors == []


@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_of_a_study_shows_one_axis_at_a_time_without_a_script(
    chromium: Chromium, tmp_path: Path, width: int
) -> None:
    logs = study(tmp_path, {"base": [3.0, 3.1, 2.95], "arm": [2.97, 3.07, 2.92]})
    found = outcome(Design((), (Arm("base"), Arm("arm"))), logs, {}, [0, 1, 2])
    (tmp_path / "page.html").write_bytes(study_page(found, logs, command="gptmill ablate x"))
    seen = chromium.open(tmp_path / "page.html", width=width)
    chromium.photograph(Path(os.environ["BROWSER_SHOTS"]) / f"study-{width}.png")
    assert seen.errors == [] and all(url.startswith("file:") for url in seen.requests)
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width
    shown = "[...document.querySelectorAll('.switch')].map((s) => [...s.querySelectorAll('svg')].map((d) => d.checkVisibility()))"
    assert chromium.evaluate(shown) == [[True, False, False, False]] * 2
    chromium.evaluate("document.getElementById('leads-3').click()")
    assert chromium.evaluate(shown) == [[False, False, True, False], [True, False, False, False]]
