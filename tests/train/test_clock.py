"""What a run does not leave to its surroundings: clocks that jump, and who ends where memory runs out."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gptmill
from gptmill.train.checkpoint import save
from gptmill.train.manifest import newest_good

from .toy import FACTS, take_steps, toy_state

PACKAGE = Path(gptmill.__file__).parent


def test_no_duration_and_no_choice_of_a_checkpoint_depends_on_the_clock_on_the_wall(tmp_path: Path) -> None:
    state = toy_state()
    for steps in (1, 1, 1):
        take_steps(state, steps)
        path = save(tmp_path, state, FACTS).path
        for file in (path, *path.iterdir()):  # each an hour older than the one before
            os.utime(file, (10**9 - 3600 * state.iter,) * 2)
    assert newest_good(tmp_path)[0] == tmp_path / "checkpoints" / "step_00000003"
    for file in [
        *(PACKAGE / "train").rglob("*.py"),
        *(PACKAGE / "track").rglob("*.py"),
        *(PACKAGE / "supervise").rglob("*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.BinOp):  # a date may be written down, and nothing is worked out from it
                assert not {"time.time()", "datetime.now()"} & {ast.unparse(node.left), ast.unparse(node.right)}, file


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux's own")
def test_the_training_offers_itself_where_memory_runs_out() -> None:
    script = (
        "from pathlib import Path; from gptmill.train.device import end_before_others\n"
        "score = Path('/proc/self/oom_score_adj')\n"
        "for before in ('0', '300'):\n"  # 300: someone had a reason
        "    score.write_text(before); end_before_others(); print(score.read_text())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["500", "300"]
