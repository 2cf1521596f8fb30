"""What TensorBoard's own reader finds in RUN/tensorboard."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from gptmill.events import Alarm, EvalDone, Event, RunStarted, Samples, StepDone
from gptmill.track.records import record
from gptmill.track.scalars import scalars
from gptmill.track.tensorboard import TensorBoard


def write(run_dir: Path, events: list[Event], config: dict[str, Any] | None = None, *, close: bool = True) -> None:
    """One process of a run; without ``close`` it is killed."""
    tracker = TensorBoard({"run_dir": str(run_dir), "config": config or {}}, lambda text: None)
    for event in events:
        fields = record(event)
        assert fields is not None
        tracker(fields)
    if close:
        tracker.close()


def read(run_dir: Path) -> EventAccumulator:
    found = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={TENSORS: 0, "scalars": 0})
    return found.Reload()


def points(run_dir: Path, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in read(run_dir).Scalars(tag)]


def shown(run_dir: Path, tag: str) -> list[str]:
    """Texts of a tag, as the page gets them."""
    return [markdown_to_safe_html(point.tensor_proto.string_val[0]) for point in read(run_dir).Tensors(tag)]


def step(i: int, loss: float = 1.0) -> StepDone:
    return StepDone(i, loss=loss, lr=1e-3, grad_norm=1.0, tokens=64, seconds=0.01)


STEP = StepDone(
    7, loss=2.5, lr=1e-3, grad_norm=float("inf"), tokens=640, seconds=0.02,
    times={"data": 0.001, "compute": 0.015},
    memory={"allocated_gb": 1.5, "host_gb": None},  # type: ignore[dict-item]
    gradients={"global_norm": 0.5, "vanishing": True, "layers": {"h.0.attn": 0.25, "h.1.attn": float("nan")}},
    weights={"layers": {"h.0.attn": {"norm": 3.0, "update_ratio": 1e-3, "mean": 0.0}}, "frozen": ["wpe"]},
    mfu={"mfu": 0.31, "gpu_name": "H200", "flops_per_token": 1e9},
)  # fmt: skip
CHARTS = {
    "train/loss": 2.5, "lr": 1e-3, "tokens_per_second": 32_000, "time_ms/step": 20, "time_ms/data": 1,
    "time_ms/compute": 15, "memory/allocated_gb": 1.5, "mfu": 0.31, "gradients/global_norm": 0.5,
    "gradient_norm/h.0.attn": 0.25, "weight_norm/h.0.attn": 3.0, "update_ratio/h.0.attn": 1e-3,
}  # fmt: skip


def test_a_step_becomes_charts_and_what_is_unknown_becomes_none(tmp_path: Path) -> None:
    write(tmp_path, [RunStarted(0, 10, 64), STEP, EvalDone(7, 2.0, 2.25, True, 0.1)])
    found = read(tmp_path)
    wanted = {**CHARTS, "train/eval_loss": 2.0, "val/loss": 2.25, "val/perplexity": 9.487735836}
    assert set(found.Tags()["scalars"]) == set(wanted)
    for tag, value in wanted.items():
        assert points(tmp_path, tag) == [(7, pytest.approx(value, rel=1e-6))], tag


def test_a_step_that_looked_at_nothing_has_its_few_charts() -> None:
    """None, an empty dict and a missing field are the same: not known."""
    fields = record(step(1))
    assert fields is not None
    assert set(scalars(fields)) == {"train/loss", "lr", "grad_norm", "tokens_per_second", "time_ms/step"}
    assert scalars({**fields, "gradients": {"layers": {}}, "mfu": {}, "weights": None}) == scalars(fields)


def test_a_resumed_run_has_every_step_once(tmp_path: Path) -> None:
    """Killed at step 9 with a checkpoint of step 5; killed before its first; resumed in the same second each time."""
    write(tmp_path, [RunStarted(0, 10, 64), EvalDone(0, 4.0, 4.0, True, 0.1), step(1, 9.0)], close=False)
    steps = [step(i, 8.0) for i in range(1, 10)]
    first = [EvalDone(0, 4.0, 4.5, True, 0.1), *steps[:5], EvalDone(5, 3.0, 3.0, True, 0.1), *steps[5:]]
    write(tmp_path, [RunStarted(0, 10, 64), *first], close=False)
    write(tmp_path, [RunStarted(5, 10, 64), *(step(i, 7.0) for i in range(6, 11)), EvalDone(10, 2.0, 2.0, True, 0.1)])
    assert points(tmp_path, "train/loss") == [*((i, 8.0) for i in range(1, 6)), *((i, 7.0) for i in range(6, 11))]
    assert points(tmp_path, "val/loss") == [(0, 4.5), (5, 3.0), (10, 2.0)]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "# no heading\n* no list\n| no | table |\n|--|--|\n| a | b |",
        "```\nno fence\n``` [no](http://link)",
        "no\n\n\n<b>bold</b> &amp; __x__",
        "",
    ],
)
def test_samples_are_shown_as_they_are(tmp_path: Path, text: str) -> None:
    write(tmp_path, [RunStarted(0, 10, 64), Samples(3, ({"prompt": "Once", "text": text},))])
    (page,) = shown(tmp_path, "samples/1")
    prefix, _, rest = page.partition("<pre><code>")
    code, _, after = rest.partition("</code></pre>")
    assert (prefix, after.strip()) == ("", "")
    assert html.unescape(code).split() == f"Once | {text}".split()
    assert "<" not in code


def test_an_alarm_is_text(tmp_path: Path) -> None:
    write(tmp_path, [RunStarted(0, 10, 64), Alarm(4, "loss_spike", "loss 9 is far above 3")])
    assert "loss 9 is far above 3" in shown(tmp_path, "alarms/loss_spike")[0]
