"""The studies in docs/studies: the pages are small, and what is said follows from the runs that are listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptmill.study.findings import find
from tests.cli.run import ROOT

FOLDER = ROOT / "docs" / "studies"
README = (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_study_says_what_follows_from_its_runs(path: Path) -> None:
    found = json.loads(path.read_text())
    losses = {arm["arm"]: {run["seed"]: run["val_loss"] for run in arm["runs"]} for arm in found["arms"]}
    assert all(set(each) == set(found["seeds"]) for each in losses.values())
    for finding, arm in zip(find(losses, found["baseline"], found["detect"]), found["arms"]):
        assert (finding.verdict, finding.says) == (arm["verdict"], arm["says"])
        if finding.verdict != "baseline":
            assert f"- **{arm['arm']}**: {arm['says']}" in README
    assert f"    {found['command']}\n" in README
    page = path.with_suffix(".html").read_text()
    assert len(page.encode()) < 400_000 and "<script" not in page
    assert f"]({path.stem}.html)" in README and f"]({path.name})" in README
