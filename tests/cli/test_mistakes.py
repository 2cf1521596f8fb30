"""Every hand-written mistake through the real command, each in a fresh process: exit 2, its lines, quickly, without torch."""

from __future__ import annotations

import os
import sys
import tempfile
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
SOON = 0.5  # seconds
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
    # processor time, so that a busy machine does not fail the test, start-up of Python included; a second and a third
    # try only for a slow first one, as caches and a shared core cost time that the command does not
    for _ in range(3):
        status, seconds, lines = answer(mistake, tmp_path)
        if seconds < SOON:
            break
    assert status == 2, lines
    assert len(lines) == len(mistake.says) and "Traceback" not in "".join(lines), lines
    for line, words in zip(lines, mistake.says):
        assert line.startswith("error: ") and all(word in line for word in words), line
    assert seconds < SOON or seconds < soon()


def answer(mistake: Mistake, folder: Path) -> tuple[int, float, list[str]]:
    """The exit code, the processor time in seconds, and the lines on stderr of one fresh process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{RUN}", *mistake.argv.split(" ")],
            {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)],
        )
        _, status, used = os.wait4(child, 0)
        err.seek(0)
        return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, err.read().decode().splitlines()
