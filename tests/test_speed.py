"""The benchmarks of speed: the guide shows what is on file, and their arithmetic is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed.growth import points, roof
from benchmarks.speed.growth_picture import draw
from benchmarks.speed.learning import Pair, told
from benchmarks.speed.machine import cpu
from benchmarks.speed.page import on_file, over_nanogpt, tables
from gptmill.config.schema import Config

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/guide/speed.md").read_text()


def test_the_guides_tables_are_what_was_measured() -> None:
    for table in tables():
        assert table in GUIDE


def test_the_picture_of_growth_is_drawn_from_what_was_measured() -> None:
    assert (ROOT / "docs/guide/growth_cpu.svg").read_text() == draw(on_file("growth"))


def test_the_readmes_speed_is_the_one_on_file() -> None:
    race, readme = on_file("speed"), (ROOT / "README.md").read_text()
    for size, words in (("S", "at 4 layers of 128"), ("B", "at 6 layers of 384"), ("124M", "for GPT-2 124M")):
        assert f"{over_nanogpt(race, size):.1f}x {words}" in readme
    before = json.loads((ROOT / "benchmarks/results/speed_cpu_zen5.json").read_text())["tokens_per_second"]
    assert f"{before['S']['ratio']:.1f}x and {before['B']['ratio']:.1f}x" in readme


def test_the_readmes_fifth_is_the_one_on_file() -> None:
    found = on_file("learning")
    pairs = [Pair.of(*each) for each in zip(found["nanoGPT"], found["gptmill"])]
    assert len(pairs) >= 3 and all(pair.share and pair.share <= 1 / 5 for pair in pairs)
    assert "of nanoGPT's documented CPU run in a fifth of its time" in " ".join(
        (ROOT / "README.md").read_text().split()
    )


def run(seconds: float, *evaluations: tuple[float, int, float]) -> dict[str, object]:
    reached = next((at for at, _, loss in evaluations if loss <= 1.88), None)
    return {"seconds": seconds, "val_loss": evaluations[-1][2], "reached": reached, "evaluations": list(evaluations)}


def test_two_runs_are_compared_by_the_clock() -> None:
    theirs, ours = (
        run(100.0, (50, 1000, 2.0), (99, 2000, 1.89)),
        run(120.0, (20, 100, 1.87), (90, 500, 1.6), (119, 700, 1.5)),
    )
    assert Pair.of(theirs, ours) == (0.2, 1.6)
    assert Pair.of(theirs, run(300.0, (200, 100, 1.9))) == (None, None)
    assert "of nanoGPT's time: 1/5.0" in told({"nanoGPT": [theirs], "gptmill": [ours]})


def test_processors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nprocessor\t: 1\n")
    assert cpu(told) == "AMD EPYC, family 25, model 17"


def test_growth_changes_one_setting_at_a_time() -> None:
    for device in ("cpu", "cuda"):
        for point in points(device, 8):
            config = Config(**point.keys)  # a valid one
            assert config.gradient_accumulation_steps % point.world_size == 0
    assert {point.axis for point in points("cpu", 2)} == {
        "model",
        "block_size",
        "batch_size",
        "accumulation",
        "world_size",
    }


def test_the_roofline_is_the_slower_of_matmuls_and_the_updates_bytes() -> None:
    found = {"flops_per_token": 10, "tokens_per_iter": 100, "params": 1000}
    assert roof(found, {"bfloat16": 500.0, "bandwidth": 1e9}, 1) == pytest.approx(50)
    assert roof(found, {"bfloat16": 500.0, "bandwidth": 1e9}, 2) == pytest.approx(100)
    assert roof(found, {"bfloat16": 1e9, "bandwidth": 28_000.0}, 1) == pytest.approx(100)


def test_every_measured_speed_is_below_the_roofline() -> None:
    axes = json.loads((ROOT / "benchmarks/results/growth_cpu.json").read_text())["axes"]
    assert all(0 < one["tokens_per_second"] < one["roof"] for axis in axes.values() for one in axis)
