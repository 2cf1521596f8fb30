"""``gptmill train`` as its users and their scripts meet it: files, JSON, exit codes, signals, going on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from gptmill.cli.main import main
from gptmill.data.batches import Batches
from tests.cli.run import SMALL, gptmill, prepare_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    prepare_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def straight(folder: Path) -> dict[str, object]:
    """A run that nothing disturbed, with dropout."""
    return gptmill(folder, "train", *SMALL, "--dropout=0.1", "--out_dir=straight", "--json").json()


def test_the_result_and_the_run_folder_hold_what_scripts_rely_on(folder: Path, straight: dict[str, object]) -> None:
    assert straight["iters"] == 20 and straight["tokens"] == 20 * 4 * 16
    for key in (
        "seconds",
        "tokens_per_second",
        "peak_memory",
        "final_train_loss",
        "best_val_loss",
        "perplexity",
        "params",
    ):
        assert isinstance(straight[key], float | int) and straight[key] > 0, key
    assert straight["mfu"] is None and len(str(straight["weights_sha256"])) == 64
    assert straight["best_val_loss"] < straight["unigram_entropy"] + 1  # nats, of the same tokens
    run = folder / "straight"
    made = {re.sub(r"^run_\d{8}_\d{6}\.", "run_TIME.", path.name) for path in run.iterdir()} - {".lock"}
    assert made == {
        "config.json", "plan.json", "metrics.jsonl", "run_TIME.json", "report.html", "checkpoints", "best", "source",
        "tokenizer",
    }  # fmt: skip
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step_done"]
    assert [step["iter"] for step in steps] == list(range(1, 21))
    assert {"loss", "lr", "grad_norm", "tokens_per_second", "time_ms", "time"} <= steps[0].keys()
    split = straight["time_split"]
    assert isinstance(split, dict) and sum(split.values()) == pytest.approx(straight["wall_seconds"], rel=0.01)
    assert isinstance(straight["goodput"], float) and 0 < straight["goodput"] <= 1


def test_a_finished_run_prints_the_same_json_again_and_goes_on_when_max_iters_is_raised(
    folder: Path, straight: dict[str, object]
) -> None:
    again = gptmill(folder, "train", *SMALL, "--dropout=0.1", "--out_dir=straight", "--json", "--resume")
    assert again.json() == straight
    other = gptmill(folder, "train", *SMALL, "--n_layer=3", "--out_dir=straight", "--json", "--resume")
    assert other.code == 2 and "n_layer 2 -> 3" in other.err and not other.out
    copy = folder / "longer"
    subprocess.run(["cp", "-r", "straight", "longer"], cwd=folder, check=True)
    more = gptmill(
        folder, "train", *SMALL, "--dropout=0.1", "--out_dir=longer", "--json", "--resume", "--max_iters=25"
    ).json()
    assert more["iters"] == 25 and (copy / "checkpoints" / "step_00000025").is_dir()


def test_a_used_folder_is_never_overwritten_unasked(folder: Path, straight: dict[str, object]) -> None:
    refused = gptmill(folder, "train", *SMALL, "--out_dir=straight")
    assert refused.code == 2 and "--resume" in refused.err and "--overwrite" in refused.err
    assert "Traceback" not in refused.err
    (folder / "named.py").write_text("out_dir = 'named'\n")
    first, second = (gptmill(folder, "train", "named.py", *SMALL, "--max_iters=1", "--json").json() for _ in range(2))
    assert (first["run_dir"], second["run_dir"]) == ("named", "named-2")
    assert "named-2" in gptmill(folder, "sample", "--out_dir=named", "--max_new_tokens=1").err
    assert "newest" not in gptmill(folder, "sample", "--out_dir=named-2", "--max_new_tokens=1").err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_commits_within_a_step_and_the_resumed_run_ends_with_the_same_bits(
    folder: Path, straight: dict[str, object], number: signal.Signals
) -> None:
    words = ["train", *SMALL, "--dropout=0.1", f"--out_dir=stopped-{number}", "--log_interval=1", "--resume"]
    running = subprocess.Popen([sys.executable, "-m", "gptmill", *words], cwd=folder, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    seen = 0
    for line in running.stderr:
        if line.startswith("iter "):
            seen = int(line.split()[1].rstrip(":"))
        if seen >= 3:
            running.send_signal(number)
            break
    rest = running.stderr.read()
    assert running.wait(60) == 128 + number, rest
    (newest,) = sorted((folder / f"stopped-{number}" / "checkpoints").glob("step_*"))[-1:]
    assert 3 <= int(newest.name.removeprefix("step_")) < 20
    done = gptmill(folder, *words, "--json").json()
    assert done["weights_sha256"] == straight["weights_sha256"]
    assert done["iters"] == 20 and done["tokens"] == straight["tokens"]


def test_resuming_with_another_split_sees_the_same_tokens(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    seen: list[np.ndarray] = []
    take = Batches.take

    def watched(self: Batches, first: int, count: int) -> np.ndarray:
        seen.append(take(self, first, count))
        return seen[-1]

    monkeypatch.setattr(Batches, "take", watched)

    def train(*words: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["train", *SMALL, *words])
        assert ended.value.code == 0, capsys.readouterr().err

    train("--out_dir=whole", "--batch_size=12")
    whole = np.concatenate(seen)
    seen.clear()
    train("--out_dir=parts", "--batch_size=12", "--max_iters=7")
    train("--out_dir=parts", "--batch_size=3", "--gradient_accumulation_steps=4", "--resume")
    assert np.array_equal(whole, np.concatenate(seen)) and len(whole) == 240
    results = [json.loads(line)["summary"] for name in ("whole", "parts")
               for line in Path(name, "metrics.jsonl").read_text().splitlines() if "summary" in line]  # fmt: skip
    assert results[-1]["final_train_loss"] == pytest.approx(results[0]["final_train_loss"], rel=1e-4)


def test_a_diverging_run_stops_with_one_line_and_no_poisoned_checkpoint(folder: Path) -> None:
    done = gptmill(
        folder, "train", *SMALL, "--out_dir=diverged", "--learning_rate=1e30", "--grad_clip=0", "--snapshot_interval=1"
    )
    assert done.code == 1 and "Traceback" not in done.err
    assert "caught before the update" in done.err and "learning_rate" in done.err
    saved = list((folder / "diverged" / "checkpoints").glob("*/model.safetensors"))
    assert saved and all(weight.isfinite().all() for path in saved for weight in load_file(path).values())
    sampled = gptmill(folder, "sample", "--run", "diverged", "--max_new_tokens=3")
    assert sampled.code == 1 and "diverged" in sampled.err and "Traceback" not in sampled.err


def test_one_folder_is_one_runs(folder: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "gptmill",
        "train",
        *SMALL,
        "--out_dir=held",
        "--max_iters=100000",
        "--log_interval=1",
    ]
    running = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stderr is not None
        assert any(line.startswith("iter ") for line in running.stderr)  # until then
        second = gptmill(folder, "train", *SMALL, "--out_dir=held", "--resume")
        assert second.code == 75 and str(running.pid) in second.err
    finally:
        running.kill()
        running.wait()


def test_sampling_is_a_function_of_the_seed(folder: Path, straight: dict[str, object]) -> None:
    one, same, other = (
        gptmill(folder, "sample", "--run", "straight", "--prompt=12 gr", "--max_new_tokens=20", f"--seed={seed}").out
        for seed in (1, 1, 2)
    )
    assert one == same != other and one.startswith("12 gr")


def test_every_documented_spelling_of_the_command_starts_it(folder: Path) -> None:
    root = Path(__file__).parents[2]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(root / "train.py"), *SMALL, "--max_iters=1", "--out_dir=shim"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, str(root / "sample.py"), "--out_dir=shim", "--start=1", "--max_new_tokens=4"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("1"), done.stderr
    assert time.perf_counter() - began < 120


def test_a_finished_run_whose_checkpoints_are_gone_or_damaged_is_not_passed_off_as_whole(
    folder: Path, straight: dict[str, object]
) -> None:
    words = ["train", *SMALL, "--dropout=0.1", "--json", "--resume"]
    subprocess.run("cp -r straight hurt && cp -r straight empty", shell=True, cwd=folder, check=True)
    newest = sorted((folder / "hurt" / "checkpoints").iterdir())[-1] / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    told = gptmill(folder, *words, "--out_dir=hurt")
    assert told.code == 0 and "step_00000020/model.safetensors: damaged" in told.err
    assert told.json() == {**straight, "run_dir": "hurt"}
    subprocess.run(["rm", "-r", "empty/checkpoints", "empty/best"], cwd=folder, check=True)
    for more in ([], ["--max_iters=30"]):
        refused = gptmill(folder, *words, "--out_dir=empty", *more)
        assert refused.code == 4 and not refused.out and "empty" in refused.err


def test_a_finished_run_can_be_evaluated_again(folder: Path, straight: dict[str, object]) -> None:
    subprocess.run(["cp", "-r", "straight", "again"], cwd=folder, check=True)
    done = gptmill(folder, "train", *SMALL, "--out_dir=again", "--resume", "--eval_only", "--eval_iters=7")
    assert done.code == 0 and "step 20: train loss" in done.err
    assert {path.name for path in (folder / "again" / "checkpoints").iterdir()} == {
        path.name for path in (folder / "straight" / "checkpoints").iterdir()
    }


@pytest.mark.parametrize("redirect", ["2>&1 | head -2", "2>/dev/full", "2>&-"])
def test_a_reader_that_goes_away_does_not_stop_the_run(folder: Path, redirect: str) -> None:
    name = f"unseen-{len(redirect)}"
    words = " ".join(
        [sys.executable, "-m", "gptmill", "train", *SMALL, f"--out_dir={name}", "--log_interval=1", redirect]
    )
    subprocess.run(["bash", "-c", words], cwd=folder, capture_output=True)
    assert (folder / name / "checkpoints" / "step_00000020").is_dir()


def test_nanogpts_bare_files_train_and_sample_and_a_hidden_vocabulary_is_asked_for(folder: Path) -> None:
    text = (folder / "tiny.txt").read_text()
    ids = np.array([sorted(set(text)).index(character) for character in text], dtype=np.uint16)
    canary = folder / "canary"
    for name in ("shakespeare_char", "hidden"):
        (folder / "data" / name).mkdir(exist_ok=True)
        ids[:9000].tofile(folder / "data" / name / "train.bin")
        ids[9000:].tofile(folder / "data" / name / "val.bin")
        # a pickle that would make a file, were it ever opened
        (folder / "data" / name / "meta.pkl").write_bytes(f"cos\nsystem\n(S'touch {canary}'\ntR.".encode())
    (folder / "data" / "shakespeare_char" / "input.txt").write_text(text)
    words = ["train", *SMALL, "--max_iters=2", "--json"]
    done = gptmill(folder, *words, "--dataset=shakespeare_char", "--out_dir=chars")
    assert done.json()["best_val_loss"] < 5
    assert gptmill(folder, "sample", "--run=chars", "--prompt=12 gr", "--max_new_tokens=5").out.startswith("12 gr")
    refused = gptmill(folder, *words, "--dataset=hidden", "--out_dir=hidden")
    assert refused.code == 2 and f"vocab_size={ids.max() + 1}" in refused.err
    told = gptmill(folder, *words, "--dataset=hidden", "--out_dir=hidden", f"--vocab_size={ids.max() + 1}")
    assert told.json()["best_val_loss"] < 5
    assert not canary.exists()


@pytest.mark.parametrize(
    "words",
    ["--device=foo", "--device=cuda:9", "--seed=-1", f"--seed={10**30}", "--temperature=nan", "--temperature=-1",
     "--top_k=0", "--top_p=1.5", "--start=FILE:missing.txt", "--run=nowhere", "--num_samples=0"],
)  # fmt: skip
def test_sample_answers_a_mistake_in_one_line(folder: Path, straight: dict[str, object], words: str) -> None:
    done = gptmill(folder, "sample", "--run=straight", words)
    assert done.code == 2 and len(done.err.splitlines()) == 1 and done.err.startswith("error: "), done.err


def test_a_model_that_does_not_fit_is_refused_without_a_traceback(folder: Path) -> None:
    done = gptmill(
        folder, "train", *SMALL, "--n_embd=100000", "--n_head=1", "--n_layer=1000", "--out_dir=huge", "--force"
    )
    assert done.code == 1 and "out of memory" in done.err and "Traceback" not in done.err


def test_a_hostile_checkpoint_file_is_never_unpickled(folder: Path) -> None:
    canary = folder / "executed"
    (folder / "evil.pt").write_bytes(f"cos\nsystem\n(S'touch {canary}'\ntR.".encode())
    (folder / "evil-run").mkdir()
    for name in ("plan.json", "config.json", "metrics.jsonl", "best"):
        (folder / "evil-run" / name).write_bytes((folder / "evil.pt").read_bytes())
    for words in (
        ["train", *SMALL, "--init_from=evil.pt"],
        ["train", *SMALL, "--resume", "--out_dir=evil-run"],
        ["train", "evil.pt"],
        ["train", *SMALL, "--tokenizer=evil.pt"],
        ["sample", "--run=evil.pt"],
        ["sample", "--run=evil-run"],
        ["verify", "--run=evil-run"],
        ["prepare", "--input=evil.pt", "--tokenizer=evil.pt"],
    ):
        done = gptmill(folder, *words)
        assert done.code in (2, 3, 4) and "Traceback" not in done.err, done
    assert not canary.exists()
