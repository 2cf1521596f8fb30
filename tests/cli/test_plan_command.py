from __future__ import annotations

import json
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import pytest

from gptmill.cli.main import main


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gptmill(*argv: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(list(argv))
    return left.value.code


def write_tokens(folder: Path, train: int, val: int) -> None:
    folder.mkdir(parents=True)
    for split, n_tokens in (("train", train), ("val", val)):
        (folder / f"{split}.bin").write_bytes(array("H", [i % 50257 for i in range(n_tokens)]).tobytes())


def planned(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert gptmill("plan", "--json", *argv) == 0
    return json.loads(capsys.readouterr().out)  # one object and nothing else


def test_the_defaults_plan_in_an_empty_folder(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys)
    assert (found["params"], found["tokens_per_iter"], found["epochs"]) == (124_373_760, 491_520, None)
    assert "dataset" in {piece["key"] for piece in found["advice"]}
    assert list(Path().iterdir()) == []  # planning writes nothing


def test_quick_is_planned_before_its_text_is_prepared_at_its_real_size(capsys: pytest.CaptureFixture[str]) -> None:
    # V=2,048 C=192 L=3 F=512: 2048 x 192 + 3 x (4 x 192^2 + 3 x 192 x 512 + 2 x 192) + 192
    assert planned(capsys, "quick")["params"] == 1_721_664


def test_nanogpt_token_files_are_counted_in_epochs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_tokens(tmp_path / "data/mine", train=100 * 64 + 1, val=65)
    argv = ["--dataset=mine", "--block_size=64", "--batch_size=5", "--gradient_accumulation_steps=2", "--epochs=3"]
    found = planned(capsys, *argv)
    assert (found["max_iters"], found["epochs"]) == (30, 3.0)
    assert gptmill("plan", *argv) == 0
    told = capsys.readouterr()
    assert "6,401 tokens to train on, 65 to validate" in told.out
    assert "without meta.json" in told.err


def test_data_shorter_than_one_window_exits_3_with_one_line_a_split(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_tokens(tmp_path / "data/mine", train=20, val=40)
    assert gptmill("plan", "--dataset=mine", "--block_size=32") == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert "train.bin has 20 tokens, needs at least block_size+1 = 33" in told.err
    assert told.err.count("\n") == 1


def test_a_mistake_exits_2_and_names_key_and_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("effective_batch_size = 7\n")
    assert gptmill("plan", "mine.py", "--gpus=8") == 2
    assert capsys.readouterr().err.startswith("error: mine.py:1: effective_batch_size=7: ")


def test_a_gpu_that_a_file_asks_for_is_replaced_and_one_that_a_flag_asks_for_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "mine.py").write_text("device = 'cuda'\n")
    found = planned(capsys, "mine.py")
    assert found["device"] != "cuda"
    assert "device" in {piece["key"] for piece in found["advice"]}
    assert gptmill("plan", "--device=cuda") == 2
    assert "device=auto" in capsys.readouterr().err


def test_the_command_imports_neither_torch_nor_numpy() -> None:
    program = (
        "import sys\nfrom gptmill.cli.main import main\n"
        "try: main(['plan', '--json'])\n"
        "finally: print([m for m in ('torch', 'numpy') if m in sys.modules], file=sys.stderr)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(root)}
    )
    assert done.stderr.splitlines()[-1] == "[]"
