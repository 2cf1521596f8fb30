"""Every hand-written mistake through the real command, each in a fresh process: exit 2, its lines, quickly, without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.mistakes import MISTAKES, Mistake
from tests.pace import soon

# Reports which heavy modules the command pulled in, through the exit that the command itself takes.
RUN = """
import sys
from gptmill.cli.main import main
try:
    main(["train", *sys.argv[1:]])
finally:
    assert "torch" not in sys.modules and "numpy" not in sys.modules
"""
TRAIN_ONLY = [
    Mistake("quick --device=cuda", [("device=cuda", "auto")]),
    Mistake("--json=maybe", [("--json", "maybe")]),
]


# to the command line a bare "--" only ends the options
CASES = [mistake for mistake in MISTAKES if mistake.argv != "--"] + TRAIN_ONLY


@pytest.mark.parametrize("mistake", CASES, ids=lambda m: m.argv[:40])
def test_the_command_answers_a_mistake_in_one_line(mistake: Mistake, tmp_path: Path) -> None:
    if "--device=cuda" in mistake.argv and Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has the GPU that the mistake says it lacks")
    for name, content in mistake.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    code = f"import os; os.chdir({str(tmp_path)!r})\n{RUN}"
    status, _, lines, _ = soon(code, mistake.argv.split(" "))
    assert status == 2, lines
    assert len(lines) == len(mistake.says) and "Traceback" not in "".join(lines), lines
    for line, words in zip(lines, mistake.says):
        assert line.startswith("error: ") and all(word in line for word in words), line
