"""Runs that end early, per epoch, from a checkpoint, with samples: what is promised of their weights and files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from gptmill.cli.main import main
from tests.cli.run import SMALL, gptmill, prepare_tiny

RUN = [word for word in SMALL if not word.startswith(("--max_iters", "--eval_interval", "--learning_rate"))]
RUN += ["--dropout=0.1", "--max_iters=60", "--eval_interval=4", "--learning_rate=1e-2"]
STOP = ["--early_stopping", "--early_stop_patience=2", "--early_stop_min_delta=0.15"]
# too high a rate: the loss goes up again, so the best is not the last
UPHILL = ["--schedule=constant", "--warmup_iters=20", "--learning_rate=0.5", "--grad_clip=0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("early")
    prepare_tiny(folder)
    return folder


def train(folder: Path, *words: str) -> dict[str, Any]:
    """``gptmill train WORDS --json`` in this process."""
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main(["train", *words, "--json"])
    assert ended.value.code == 0
    return json.loads(out.getvalue())


def recorded(run: Path, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == name]


def saved_steps(run: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step_")) for path in (run / "checkpoints").glob("step_*"))


def sha256_of(file: Path) -> str:
    """What weights_sha256 is by contract: sorted names, each followed by its raw bytes."""
    digest = hashlib.sha256()
    for name, weight in sorted(load_file(file).items()):
        digest.update(name.encode() + weight.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def stopped(folder: Path) -> dict[str, Any]:
    return train(folder, *RUN, *STOP, "--out_dir=stopped")


def test_a_stopped_run_reports_the_best_checkpoint(folder: Path, stopped: dict[str, Any]) -> None:
    run = folder / "stopped"
    losses = {line["iter"]: line["val_loss"] for line in recorded(run, "eval_done")}
    assert stopped["stopped"].startswith("early_stop_patience: ") and 8 < stopped["iters"] < 60
    assert max(losses) == stopped["iters"] and stopped["best_val_loss"] == min(losses.values())
    best = (run / "best").resolve()
    assert int(best.name.removeprefix("step_")) == min(losses, key=lambda iter: losses[iter])
    assert stopped["weights_sha256"] == sha256_of(best / "model.safetensors")
    assert recorded(run, "run_done")[-1]["stopped"] == stopped["stopped"]


def test_without_restoring_the_result_is_the_last_step(folder: Path) -> None:
    words = [*RUN, *UPHILL, *STOP]
    kept = train(folder, *words, "--out_dir=last", "--no_early_stop_restore_best")
    restored = train(folder, *words, "--out_dir=restored")
    last, best = sorted((folder / "restored" / "checkpoints").glob("step_*"))[-1], folder / "restored" / "best"
    assert best.resolve() != last.resolve(), "the best is the last: nothing is shown"
    assert kept["iters"] == restored["iters"]
    assert kept["weights_sha256"] == sha256_of(last / "model.safetensors")
    assert restored["weights_sha256"] == sha256_of(best / "model.safetensors") != kept["weights_sha256"]


def test_resuming_a_stopped_run_prints_the_same_result(folder: Path, stopped: dict[str, Any]) -> None:
    assert train(folder, "--resume", "--out_dir=stopped") == stopped


def test_with_more_patience_it_goes_on_as_though_it_had_never_stopped(folder: Path, stopped: dict[str, Any]) -> None:
    subprocess.run(["cp", "-r", "stopped", "patient"], cwd=folder, check=True)
    gone_on = train(folder, "--resume", "--out_dir=patient", "--early_stop_patience=1000")
    straight = train(folder, *RUN, "--out_dir=straight")
    assert gone_on["stopped"] is straight["stopped"] is None and gone_on["iters"] == 60
    assert gone_on["weights_sha256"] == straight["weights_sha256"]


def test_with_a_larger_max_iters_it_goes_on(folder: Path, stopped: dict[str, Any]) -> None:
    subprocess.run(["cp", "-r", "stopped", "longer"], cwd=folder, check=True)
    longer = train(folder, "--resume", "--out_dir=longer", "--max_iters=61")
    assert longer["iters"] > stopped["iters"]


def test_a_killed_run_stops_at_the_very_same_evaluation(folder: Path, stopped: dict[str, Any]) -> None:
    words = [sys.executable, "-m", "gptmill", "train", *RUN, *STOP, "--out_dir=killed", "--resume"]
    for kill_at in (3, 6, stopped["iters"]):
        running = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True)
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("iter ") and int(line.split()[1].rstrip(":")) >= kill_at:
                running.send_signal(signal.SIGKILL)
                break
        running.wait(60)
        running.stderr.close()
    done = train(folder, "--resume", "--out_dir=killed")
    same = ("stopped", "iters", "best_val_loss", "weights_sha256")
    assert {key: done[key] for key in same} == {key: stopped[key] for key in same}


def test_a_run_by_epochs_evaluates_and_saves_at_the_end_of_each(folder: Path) -> None:
    words = [*RUN, "--batch_size=200", "--eval_interval=epoch", "--keep_last_n_snapshots=0", "--out_dir=epochs"]
    words = [word for word in words if not word.startswith("--max_iters")]
    done = train(folder, *words, "--epochs=3")
    n_tokens = (folder / "data" / "tiny" / "train.bin").stat().st_size // 2  # uint16
    per_epoch = ((n_tokens - 1) // 16) / 200
    ends = [-(-(n * per_epoch - 0.01) // 1) for n in (1, 2, 3)]
    assert [line["iter"] for line in recorded(folder / "epochs", "eval_done")] == [0, *ends]
    assert saved_steps(folder / "epochs") == ends and done["iters"] == ends[-1]


def test_only_the_best_and_the_last_remain_when_asked(folder: Path) -> None:
    words = [*RUN, *UPHILL, "--keep_last_n_snapshots=0", "--max_iters=24"]
    train(folder, *words, "--out_dir=kept")
    done = train(folder, *words, "--out_dir=tidy", "--delete_snapshots_after_training")
    best = int((folder / "kept" / "best").resolve().name.removeprefix("step_"))
    assert len(saved_steps(folder / "kept")) == 6 and best != 24
    assert saved_steps(folder / "tidy") == [best, 24]
    assert train(folder, "--resume", "--out_dir=tidy") == done


def test_a_run_begins_with_another_runs_checkpoint(folder: Path, stopped: dict[str, Any]) -> None:
    straight = train(folder, *RUN, "--out_dir=whole", "--keep_last_n_snapshots=0")
    begun = train(folder, *RUN, "--out_dir=begun", "--checkpoint_file=whole/checkpoints/step_00000020")
    assert begun["weights_sha256"] == straight["weights_sha256"]
    assert [line["iter"] for line in recorded(folder / "begun", "step_done")] == list(range(21, 61))
    again = train(folder, *RUN, "--out_dir=begun", "--checkpoint_file=whole/checkpoints/step_00000020", "--resume")
    assert again == begun


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ("ckpt.pt", 2, ["ckpt.pt", "gptmill import", "init_from"]),
        ("nowhere", 2, ["checkpoint_file=nowhere", "RUN/checkpoints/step_"]),
        ("data", 2, ["checkpoint_file=data", "RUN/checkpoints/step_"]),
    ],
)
def test_what_is_no_checkpoint_of_ours_is_refused_in_one_line(
    folder: Path, given: str, code: int, words: list[str]
) -> None:
    refused = gptmill(folder, "train", *RUN, f"--checkpoint_file={given}", "--out_dir=refused")
    assert refused.code == code and "Traceback" not in refused.err
    (line,) = [line for line in refused.err.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words)


def test_a_checkpoint_that_leaves_nothing_to_train_is_refused_before_a_folder_is_made(
    folder: Path, stopped: dict[str, Any]
) -> None:
    step = int((folder / "stopped/best").resolve().name.removeprefix("step_"))
    words = ["--checkpoint_file=stopped/best", f"--max_iters={step}", "--out_dir=nothing"]
    refused = gptmill(folder, "train", *RUN, *words)
    assert refused.code == 2 and f"is of step {step}, so max_iters={step} leaves nothing to train" in refused.err
    assert not (folder / "nothing").exists()


def test_a_checkpoint_of_another_model_is_refused(folder: Path, stopped: dict[str, Any]) -> None:
    refused = gptmill(folder, "train", *RUN, "--n_layer=3", "--checkpoint_file=stopped/best", "--out_dir=other")
    assert refused.code == 2 and "n_layer 2 -> 3" in refused.err and "Traceback" not in refused.err


def test_samples_are_recorded_and_change_nothing(folder: Path) -> None:
    plain = train(folder, *RUN, "--max_iters=12", "--out_dir=plain")
    options = ["--generate_interval=5", "--generate_max_length=30", "--num_generate_samples=4", "--top_p=0.9"]
    sampled = train(folder, *RUN, "--max_iters=12", "--out_dir=sampled", *options)
    assert sampled["weights_sha256"] == plain["weights_sha256"]
    assert sampled["final_train_loss"] == plain["final_train_loss"]
    found = recorded(folder / "sampled", "samples")
    assert [line["iter"] for line in found] == [5, 10]
    characters = set(json.loads((folder / "sampled" / "tokenizer" / "tokenizer.json").read_text())["characters"])
    full = ["The quick brown fox", "Once upon a time", "In the beginning", "The quick brown fox"]
    known = ["".join(c for c in prompt if c in characters) for prompt in full]
    for line in found:
        assert [sample["prompt"] for sample in line["samples"]] == known != full
        assert all(len(sample["prompt"] + sample["text"]) == 30 for sample in line["samples"])
    assert found[0]["samples"][0] != found[0]["samples"][3], "the same prompt, drawn anew"
    says = [line["says"] for line in recorded(folder / "sampled", "notice")]
    assert len([line for line in says if "left out of the prompts" in line]) == 1


def test_samples_without_a_tokenizer_are_one_notice(folder: Path) -> None:
    bare = folder / "data" / "bare"
    bare.mkdir()
    for split in ("train", "val"):
        (bare / f"{split}.bin").write_bytes((folder / "data" / "tiny" / f"{split}.bin").read_bytes())
    words = ["--dataset=bare", "--vocab_size=60", "--max_iters=4", "--generate_interval=1", "--out_dir=unreadable"]
    train(folder, *RUN, *words)
    says = [line["says"] for line in recorded(folder / "unreadable", "notice")]
    assert [line for line in says if "no samples" in line] == [line for line in says if "tokenizer" in line] != []
    assert not recorded(folder / "unreadable", "samples")


def test_the_commands_of_the_guide_work_in_order(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "guide" / "stopping.md").read_text()
    commands = [line.split()[2:] for line in page.splitlines() if line.startswith("    gptmill train ")]
    small = [word for word in SMALL if not word.startswith(("--max_iters", "--eval_interval"))]
    results = []
    for words in commands:
        more = [word for word in words if word != "quick"]
        if "--resume" not in words:
            cadence = [] if any("=epoch" in word for word in words) else ["--eval_interval=2"]
            length = [] if any("--epochs" in word for word in words) else ["--max_iters=8"]
            length = ["--max_iters=200"] if any("--checkpoint_file" in word for word in words) else length
            more = [*small, "--batch_size=100", *cadence, *length, *more]
        results.append(train(folder, *more))
    assert len(commands) == 5 and all(result["iters"] > 0 for result in results)
    assert recorded(folder / "out" / "samples", "samples") and (folder / "out" / "epochs" / "best").exists()
