from __future__ import annotations

import json
import subprocess
import sys
import time
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


@pytest.mark.parametrize("typed", ["0", "1.5", "-2", "many"])
def test_a_number_of_devices_is_taken_as_it_is_typed_or_refused(capsys: pytest.CaptureFixture[str], typed: str) -> None:
    assert gptmill("plan", f"--gpus={typed}") == 2
    assert capsys.readouterr().err == f"error: --gpus={typed}: must be a whole number, at least 1\n"


def test_processes_on_a_cpu_share_the_memory_of_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    alone, shared = (
        planned(capsys, "--device=cpu", "--dtype=float32", "--batch_size=1", "--strategy=ddp", *more)
        for more in ([], ["--gpus=8"])
    )
    assert shared["device_memory"] == alone["device_memory"] // 8
    assert shared["memory"]["peak"] >= alone["memory"]["peak"]  # each has all of the model


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


def test_another_device_is_planned_for_by_the_name_people_use(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, "--gpu", "4090", "--gpus=2", "--price=0.5", "--kwh_price=0.3")
    assert (found["device_name"], found["world_size"], found["fits"]) == ("NVIDIA GeForce RTX 4090", 2, True)
    assert (
        found["basis"] == "calibrated" and found["seconds_from_to"][0] < found["seconds"] < found["seconds_from_to"][1]
    )
    hours = found["seconds"] / 3600 * 2
    assert found["cost_usd"] == pytest.approx(hours * 0.5) and found["cost"]["power_usd"] == pytest.approx(
        hours * 0.45 * 0.3
    )
    assert sum(found["seconds_by_part"].values()) == pytest.approx(found["seconds"])
    assert found["mfu"] == pytest.approx(found["tokens_per_second"] * found["flops_per_token"] / (2 * 165.2e12))


def test_the_table_of_devices_names_the_cheapest_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert gptmill("plan", "--gpu=all", "--json", "--batch_size=60", "--gradient_accumulation_steps=8") == 0
    found = json.loads(capsys.readouterr().out)
    priced = [row for row in found["devices"] if row["fits"] and row["cost_usd"] is not None]
    assert found["cheapest"] == min(priced, key=lambda row: row["cost_usd"])["device"]
    by_name = {row["device"]: row for row in found["devices"]}
    assert by_name["GeForce RTX 3060"]["fits"] is False and by_name["A100-SXM4-80GB"]["fits"] is True
    for row in found["devices"]:
        assert row["fits"] == (row["needs"] <= row["device_memory"]) == (row["batch_size"] >= 60)


def test_the_table_of_batch_sizes_makes_up_the_same_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert gptmill("plan", "--gpu=4090", "--batches", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert all(row["batch_size"] * row["gradient_accumulation_steps"] == 480 for row in found["batches"])
    assert [row["fits"] for row in found["batches"]] == [
        row["batch_size"] <= found["largest"] for row in found["batches"]
    ]
    speeds = [row["tokens_per_second"] for row in found["batches"]]
    assert speeds == sorted(speeds)


@pytest.mark.parametrize("words", [("--gpu=all",), ("--gpu=4090", "--batches"), ("--gpu=m2 max",), ("--gpu=3070",)])
def test_tables_and_pages_of_other_devices_are_80_columns_wide(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert gptmill("plan", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80 and all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--gpu=gtx 1080",), "--gpu=gtx 1080: not in the table of devices"),
        (("--price=-1",), "--price=-1.0: must be a number of US dollars"),
        (("--kwh_price=nan",), "--kwh_price=nan: must be a number of US dollars"),
        (("--probe", "--gpu=a100"), "--probe: measures the device of this machine"),
    ],
)
def test_mistakes_in_the_commands_own_flags_are_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert gptmill("plan", *words) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"error: {says}") and told.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("--preset=gpt2-xl",), ("--n_layer=10000", "--n_embd=16384", "--n_head=128", "--block_size=131072")]
)
def test_any_size_is_planned_for_every_device_within_three_seconds(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    began = time.process_time()
    assert gptmill("plan", *words, "--gpu=all") == 0
    assert gptmill("plan", *words, "--gpu=h100") == 0
    assert time.process_time() - began < 3


def test_a_probe_measures_real_steps_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gptmill.cli import probe

    monkeypatch.setattr(probe, "STEPPING", 0.3)
    monkeypatch.setattr(probe, "EVALUATING", 0.1)
    words = ["--n_layer=1", "--n_head=2", "--n_embd=32", "--block_size=32", "--vocab_size=64", "--batch_size=4"]
    found = planned(capsys, *words, "--gradient_accumulation_steps=3", "--max_iters=10", "--probe", "--device=cpu")
    assert found["basis"] == "measured" and 0 < found["step_seconds"] < 5
    assert found["seconds_by_part"]["training"] == pytest.approx(10 * found["step_seconds"])
    assert found["tokens_per_second"] == pytest.approx(3 * 4 * 32 / found["step_seconds"])
    assert found["seconds_from_to"][0] <= found["seconds"] / 1.05 and found["seconds_by_part"]["checkpoints"] > 0
    assert list(tmp_path.iterdir()) == []
