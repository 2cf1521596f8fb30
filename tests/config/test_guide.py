"""What docs/guide/config.md shows is what the commands print."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gptmill.cli.explain import explain
from gptmill.config.load import load
from gptmill.errors import ConfigError

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "config.md"
FILES = {"mine.py": "n_embd = 100\ndroput = 0.1\n", "evil.py": "n_layer = __import__('os').system('echo hi')\n"}


def shown_commands() -> list[tuple[str, list[str]]]:
    """Every ``$ command`` of the guide with the lines printed below it."""
    found: list[tuple[str, list[str]]] = []
    for line in GUIDE.read_text(encoding="utf-8").splitlines():
        if line.startswith("    $ "):
            found.append((line.removeprefix("    $ "), []))
            inside = True
        elif found and inside and line.startswith("    "):
            found[-1][1].append(line.removeprefix("    "))
        else:
            inside = False
    return found


@pytest.mark.parametrize(
    ("command", "lines"), shown_commands(), ids=lambda shown: shown if isinstance(shown, str) else ""
)
def test_the_guide_shows_what_is_printed(
    command: str,
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    argv = [word for word in shlex.split(command)[2:] if word != "--explain"]
    try:
        resolved = load(argv)
    except ConfigError as error:
        assert [f"error: {problem}" for problem in error.problems] == lines
    else:
        explain(resolved)
        printed = [line.split() for line in capsys.readouterr().out.splitlines()]  # widths depend on longer rows
        first = printed.index(lines[0].split())
        assert printed[first : first + len(lines)] == [line.split() for line in lines]


def test_the_guide_shows_the_file_it_talks_about_and_several_commands() -> None:
    shown = GUIDE.read_text(encoding="utf-8").splitlines()
    start = shown.index("    mine.py:")
    assert [line.strip() for line in shown[start + 1 : start + 3]] == FILES["mine.py"].splitlines()
    assert len(shown_commands()) >= 4
