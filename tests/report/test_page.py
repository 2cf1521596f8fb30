"""The page is complete in itself, shows what was recorded, and nothing that a run names can change it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest

from gptmill.config.schema import Config
from gptmill.events import Alarm, EvalDone, FirstSteps, Notice, RunStarted, Samples
from gptmill.report.charts import figures
from gptmill.report.run_page import goodput, plan_and_reality, run_page, time_parts
from gptmill.report.runlog import read_run
from gptmill.report.settings import NEEDS
from tests.report.example import events, step, write, write_example


class Page(HTMLParser):
    """What a browser's parser would make of the page: elements with their attributes, and text by element."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts.append((self._inside, data))

    def scripts(self) -> list[str]:
        return [text for tag, text in self.texts if tag == "script"]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("run") / "out-example", n_steps=200)


def test_every_chart_is_one_that_plotly_accepts(example):
    drawn = figures(read_run(example))
    assert list(drawn) == ["loss", "lr", "speed", "mfu", "memory", "grad_norm", "times", "gradients", "updates"]
    for found in drawn.values():
        for trace in found["data"]:
            trace = {**trace, "colorscale": "Reds"} if "colorscale" in trace else trace
            go.Figure({"data": [named_colours(trace)], "layout": found["layout"]})  # raises on a name it does not know


def named_colours(value):
    """The trace with every colour of the page's own replaced by one that plotly knows."""
    if isinstance(value, dict):
        return {key: named_colours(item) for key, item in value.items()}
    return "red" if isinstance(value, str) and value.startswith("--") else value


def test_the_loss_lies_where_it_was_measured_on_every_axis(example):
    log = read_run(example)
    loss = figures(log)["loss"]
    names = [trace["name"] for trace in loss["data"]]
    val = names.index("validation")
    assert set(loss["axes"]) == {"steps", "tokens", "time", "flops"}
    assert loss["axes"]["steps"]["x"][val] == sorted(log.evals)
    assert loss["axes"]["tokens"]["x"][val] == [1024.0 * iter for iter in sorted(log.evals)]
    assert loss["axes"]["flops"]["x"][val] == [
        1024.0 * iter * log.plan["flops_per_token"] for iter in sorted(log.evals)
    ]
    assert loss["data"][val]["y"] == pytest.approx([found["val_loss"] for found in log.evals.values()], rel=1e-5)
    alarm = names.index("alarm")
    assert loss["axes"]["steps"]["x"][alarm] == [66.0] and "loss 6.1" in loss["data"][alarm]["text"][0]


def test_the_page_shows_the_verdict_the_numbers_and_where_settings_came_from(example):
    text = " ".join(text for tag, text in Page(run_page(read_run(example))).texts if tag not in ("script", "style"))
    for words in ("Learning", "200 of 200", "quick.py:3", "NVIDIA H100", "loss 6.1", "dropout is off", "Goodput",
                  "upon step 200", "about 20 are optimal", "wpe.weight"):  # fmt: skip
        assert words in text, words


def test_the_page_asks_the_network_for_nothing_and_runs_only_its_own_scripts(example):
    page = Page(run_page(read_run(example)))
    assert not [attrs for tag, attrs in page.elements if {"src", "href", "srcset", "action"} & attrs.keys()]
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    policy = next(
        attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    run = [text for text in page.scripts() if not text.startswith("{")]
    digests = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == digests and len(digests) == 2


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "{{ 7 * 191 }}{% raw %}",
    "<!--",
    "]]>&lt;b&gt;&#60;",
    "safe\u202eevil\u2066\u200f",
    "\x1b[31mred\x00\x08",
    "%{x}<extra></extra>",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_stays_text(tmp_path, text):
    folder = write_example(tmp_path / "run", n_steps=40, config={"dataset": text, text: text})
    looked = replace(step(41, 2.0, 41, random.Random(0)), gradients={"layers": {text: 0.5}})
    write(
        folder, RunStarted(40, 41, 1024), looked, Alarm(41, text, text, text), Notice(41, text),
        Samples(41, ({"prompt": text, "text": text},)),
    )  # fmt: skip
    log = read_run(folder)
    log.name = text
    log.plan.update(
        architecture=text, device_name=text, advice=[{"key": text, "says": text, "because": text, "try_": text}]
    )
    page, plain = Page(run_page(log)), Page(run_page(read_run(write_example(tmp_path / "plain", n_steps=40))))
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
    assert len(page.scripts()) == len(plain.scripts()) == 3
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on") or name == "src"]
    json.loads(page.scripts()[0])
    shown = "".join(text for tag, text in page.texts if tag not in ("script", "style"))
    assert not set(shown) & set("\u202e\u2066\u200f\x1b\x00\x08") and "1337" not in shown
    heat = json.loads(page.scripts()[0])["gradients"]["data"][0]
    assert not [name for name in heat["y"] if "<" in name]


def test_an_old_run_without_looks_says_what_it_did_not_record(tmp_path):
    kept = {"event", "iter", "time", "loss", "lr", "grad_norm", "tokens", "tokens_per_second", "time_ms", "train_loss",
            "val_loss", "seconds", "max_iters"}  # fmt: skip
    write_example(tmp_path)
    path = tmp_path / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [
        {key: line[key] for key in line.keys() & kept}
        for line in lines
        if line["event"] in ("run_started", "step_done", "eval_done")
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "plan.json").unlink()
    (tmp_path / "config.json").unlink()
    log = read_run(tmp_path)
    assert list(figures(log)) == ["loss", "lr", "speed", "grad_norm"]
    assert "flops" not in figures(log)["loss"]["axes"]
    assert b"Not recorded in this run: MFU, memory" in run_page(log)


def test_a_key_that_means_nothing_in_this_run_says_so_and_no_other_does(tmp_path):
    config = {"activation": "gelu", "ffn_type": "swiglu", "rope_theta": 10000.0, "position_encoding": "rope",
              "wandb_project": "mine", "wandb_log": False, "temperature": 1.0, "generate_interval": 50}  # fmt: skip
    log = read_run(write_example(tmp_path, n_steps=40, config=config))
    cells = [text for tag, text in Page(run_page(log)).texts if "no effect" in text]
    assert cells == ["gelu (no effect: ffn_type is swiglu)", "mine (no effect: wandb_log is false)"]
    assert NEEDS.keys() | {needed for needed, _ in NEEDS.values()} <= Config.model_fields.keys()


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    write(tmp_path, RunStarted(0, 10, 100))
    assert b"Too short to tell" in run_page(read_run(tmp_path))


def test_a_run_that_only_evaluated_has_a_page_with_its_loss(tmp_path):
    write(tmp_path, RunStarted(0, 0, 100), EvalDone(0, 3.1, 3.25, True, 0.1))
    text = run_page(read_run(tmp_path)).decode().split("<script>")[0]
    assert "3.2500" in text and "1 evaluation in 0 steps" in text


def test_time_parts_add_up_to_the_time_that_processes_were_there(tmp_path):
    moments = iter(f"2026-01-01T00:{n:02d}:00+00:00" for n in (0, 1, 3, 10, 11))
    step = {"event": "step_done", "time_ms": 60_000, "tokens": 10, "loss": 3.0, "times_ms": {"compute": 50_000}}
    records = [
        {"event": "run_started", "iter": 0}, {**step, "iter": 1}, {**step, "iter": 2},
        {"event": "run_started", "iter": 1}, {**step, "iter": 2},
    ]  # fmt: skip
    text = "".join(json.dumps({**record, "time": next(moments)}) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(text)
    log = read_run(tmp_path)
    parts = {part["name"]: part["seconds"] for part in time_parts(log)}
    assert sum(parts.values()) == 240.0 and parts["compute"] == 50.0
    assert goodput(log).startswith("Goodput 50%: 2 min 0 s of 4 min 0 s in 2 processes")
    assert "1 min 0 s of steps had to be done again" in goodput(log)


def test_the_plan_stands_beside_the_first_steps_and_the_whole_run(example):
    rows = {name: values for name, *values in plan_and_reality(read_run(example))}
    # 11.5e9 bytes are what the example's steps report at most; the plan is for a step of 90 ms, and they take 100
    assert rows["memory"] == ["10.24 GiB", "10.62 GiB", "10.71 GiB"]
    assert (
        rows["a step (calibrated)"][:2] == ["90 ms", "100 ms"] and 95 < float(rows["a step (calibrated)"][2][:-3]) < 105
    )
    assert rows["the run, start and checkpoints included (calibrated)"][:2] == ["41.0 s", "-"]
    assert "<h2>Plan and reality</h2>" in run_page(read_run(example)).decode()


def test_what_no_plan_told_is_left_open(tmp_path):
    write(tmp_path, RunStarted(0, 9, 100), FirstSteps(1, "plan and reality", 2**30, None, 0.5, None, None, None))
    rows = plan_and_reality(read_run(tmp_path))
    assert rows[:2] == [("memory", "-", "1.00 GiB", "1.00 GiB"), ("a step", "-", "500 ms", "-")]
    write(tmp_path, RunStarted(0, 9, 100))
    assert plan_and_reality(read_run(tmp_path)) == rows  # until the next process's first steps are known


def test_a_long_run_draws_as_few_points_as_a_short_one_and_no_spike_is_lost(tmp_path):
    found = events(20_000, 1.4, random.Random(0))
    at = next(n for n, event in enumerate(found) if event.iter == 7_777)
    found[at] = replace(found[at], loss=42.0)
    write(tmp_path, *found)
    page = run_page(read_run(tmp_path))
    drawn = json.loads(Page(page).scripts()[0])
    assert max(len(trace["y"]) for trace in drawn["loss"]["data"]) <= 1202
    assert 42.0 in drawn["loss"]["data"][0]["y"]
    assert len(Page(page).scripts()[0]) < 1_500_000
