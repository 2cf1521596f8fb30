from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gptmill.cli.verify import verify
from gptmill.errors import CheckpointError, UserError
from gptmill.train.checkpoint import save
from gptmill.train.retention import mark_best

from ..train.toy import FACTS, take_steps, toy_state


@pytest.fixture
def run(tmp_path):
    state = toy_state()
    for _ in range(3):
        saved = save(tmp_path, take_steps(state, 5), FACTS)
    mark_best(tmp_path, saved.path)
    return tmp_path


def test_good_checkpoints_are_listed_and_the_one_to_resume_from_is_named(run, capsys):
    assert verify(run=run) == 0
    text = capsys.readouterr().out
    assert text.count("good") == 3
    assert text.count("--resume continues here") == 1
    assert "step_00000015" in next(line for line in text.splitlines() if "--resume" in line)


def test_a_damaged_file_is_named_and_the_older_one_takes_over(run, capsys):
    (run / "checkpoints" / "step_00000015" / "optimizer.safetensors").write_bytes(b"x")
    assert verify(run=run, json=True) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["newest_good"] == "checkpoints/step_00000010"
    (bad,) = [row for row in found["checkpoints"] if row["problems"]]
    assert bad["checkpoint"] == "checkpoints/step_00000015"
    assert "optimizer.safetensors" in bad["problems"][0]


def test_when_none_is_good_the_exit_code_is_4(run, capsys):
    for file in run.glob("checkpoints/*/state.json"):
        file.unlink()
    with pytest.raises(CheckpointError) as caught:
        verify(run=run, json=True)
    assert caught.value.exit_code == 4
    assert json.loads(capsys.readouterr().out)["newest_good"] is None


def test_a_folder_without_checkpoints_is_exit_4_and_no_folder_is_exit_2(tmp_path):
    with pytest.raises(CheckpointError):
        verify(run=tmp_path)
    with pytest.raises(UserError):
        verify(run=tmp_path / "nowhere")


def test_verifying_needs_neither_torch_nor_numpy(run):
    code = (
        "import sys; from pathlib import Path; from gptmill.cli.verify import verify;"
        f"verify(run=Path({str(run)!r})); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
