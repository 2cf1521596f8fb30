"""Every mistake is one plain line that names its place, found without torch and in no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gptmill.config.load import load
from gptmill.errors import ConfigError
from tests.config.mistakes import MISTAKES, Mistake

ROOT = Path(__file__).parents[2]

# Runs every mistake in one fresh interpreter: what it imports, and how long the slowest takes.
IN_ONE_PROCESS = """
import json, os, sys, time
from pathlib import Path
from tests.config.mistakes import MISTAKES
from gptmill.config.load import load
from gptmill.errors import ConfigError

seconds, uncaught = [], []
for index, mistake in enumerate(MISTAKES):
    folder = Path(sys.argv[1]) / str(index)
    for name, content in mistake.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    began = time.perf_counter()
    try:
        load(mistake.argv.split(" "))
        uncaught.append(mistake.argv)
    except ConfigError:
        seconds.append(time.perf_counter() - began)
heavy = [m for m in ("torch", "numpy", "rich", "tokenizers", "gigatoken") if m in sys.modules]
print(json.dumps({"slowest": max(seconds), "uncaught": uncaught, "heavy": heavy}))
"""


def problems_of(mistake: Mistake, folder: Path) -> tuple[str, ...]:
    for name, content in mistake.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as raised:
        load(mistake.argv.split(" "))
    assert raised.value.exit_code == 2
    return raised.value.problems


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.argv[:40]}-{MISTAKES.index(m)}")
def test_a_mistake_is_one_line_naming_its_place(
    mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problems = problems_of(mistake, tmp_path)
    assert len(problems) == len(mistake.says), problems
    for line, words in zip(problems, mistake.says):
        assert line.isprintable() and len(line) < 300
        assert line.startswith(words[0]), line
        assert all(word in line for word in words), line
        assert "Error" not in line and "Input should" not in line  # no library's own words


def test_there_are_at_least_sixty_different_mistakes() -> None:
    assert len({(m.argv, *sorted(map(str, m.files.items()))) for m in MISTAKES}) == len(MISTAKES) >= 60


def test_finding_mistakes_needs_neither_torch_nor_numpy_nor_time(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["uncaught"] == []
    assert found["heavy"] == []
    assert found["slowest"] < 0.4
    assert done.stderr == ""


def test_a_file_of_nonsense_is_summed_up(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("".join(f"key_{i}: 1\n" for i in range(5000)))
    with pytest.raises(ConfigError) as raised:
        load([str(path)])
    assert len(raised.value.problems) == 21
    assert "4980 more problems" in raised.value.problems[-1]


def test_a_line_stays_one_line_whatever_the_names_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for argv in (["a\nb.py"], ["--n_layer=\x1b[31m\n"], ["--dataset=\udcff"], ['--"\n"=1'], ["\udcff.py"], [""]):
        with pytest.raises(ConfigError) as raised:
            load(argv)
        assert all(line.isprintable() for line in raised.value.problems)


def test_a_secret_in_a_misspelled_flag_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as raised:
        load(["--wandb_api_key=SECRET-1234"])
    assert "SECRET" not in str(raised.value)
