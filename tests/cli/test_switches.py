"""An optimisation that is switched off changes how fast a run is, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptmill.cli.parts import new_state
from tests.cli.run import SMALL, gptmill, prepare_tiny
from tests.train.small import small_plan


def losses(folder: Path, *switches: str) -> tuple[list[float], str]:
    """Of every step, and the hash of the weights in the end."""
    done = gptmill(
        folder, "train", *SMALL, "--dtype=float32", *switches, "--out_dir=out", "--overwrite", "--json"
    ).json()
    events = map(json.loads, (folder / "out/metrics.jsonl").read_text().splitlines())
    return [event["loss"] for event in events if event["event"] == "step_done"], done["weights_sha256"]


def test_without_its_optimisations_a_run_learns_the_same(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    by_itself, weights = losses(tmp_path)
    assert losses(tmp_path, "--keep_memory=False") == (by_itself, weights)
    for switch in ("--fused_optimizer=False", "--chunked_loss=False"):
        assert losses(tmp_path, switch)[0] == pytest.approx(by_itself, abs=1e-4), switch


def test_each_switch_reaches_what_it_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr("gptmill.train.device.keep_freed_memory", lambda: kept.append(True))
    for settings, fused, keeps in (({}, True, 1), ({"fused_optimizer": False, "keep_memory": False}, None, 0)):
        kept.clear()
        optimizer = new_state(small_plan(**settings)).optimizer
        assert (optimizer.defaults["fused"], len(kept)) == (fused, keeps)
