"""``gptmill train-lm`` and ``run_train_lm.sh``: a train_lm.py's defaults, folders and switches, over the one way to train."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from gptmill.cli.train_lm import without_use
from tests.cli.run import Done, gptmill, prepare_tiny

ROOT = Path(__file__).parents[2]
MODEL = ["--d_model=16", "--num_heads=2", "--num_layers=1", "--d_ff=32", "--max_seq_len=16", "--batch_size=8"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    prepare_tiny(folder)
    for name in ("wikitext", "wikitext-103"):
        shutil.copytree(folder / "data" / "tiny", folder / "data" / name)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    (tmp_path / "data").symlink_to(prepared / "data")
    return tmp_path


def lm(folder: Path, *words: str) -> Done:
    return gptmill(folder, "train-lm", *words, "--device=cpu")


def settings(folder: Path, *words: str) -> dict[str, str]:
    done = lm(folder, *words, "--explain")
    assert done.code == 0, done.err
    return {line.split()[0]: line.split()[1] for line in done.out.splitlines() if line.startswith("  ")}


def test_the_defaults_are_train_lms(folder: Path) -> None:
    """Source: train_lm.py's argument parser, as its guide quotes it."""
    wanted = {
        **{"n_embd": "256", "n_head": "4", "n_layer": "4", "ffn_dim": "512", "block_size": "256", "dropout": "0.1"},
        **{"batch_size": "32", "gradient_accumulation_steps": "1", "epochs": "20.0", "learning_rate": "0.0003"},
        **{"warmup_iters": "1000", "min_lr_ratio": "0.1", "weight_decay": "0.1", "grad_clip": "1.0"},
        **{"beta1": "0.9", "beta2": "0.95", "keep_last_n_snapshots": "3", "delete_snapshots_after_training": "True"},
        **{"dataset": "wikitext", "out_dir": "lm_wikitext"},
    }
    found = settings(folder)
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize(("preset", "params"), [("tiny", 16_090_880), ("small", 44_909_056), ("medium", 124_439_808)])
def test_a_preset_has_the_size_its_guide_names(folder: Path, preset: str, params: int) -> None:
    """16M, 45-50M and GPT-2's 124M: biases, GPT-2's vocabulary, a feed-forward of four times the width."""
    from gptmill.cli.train_lm import entrance
    from gptmill.config.load import load
    from gptmill.plan.hardware import detect_machine
    from gptmill.plan.plan import make_plan

    words = [f"--model_preset={preset}", "--vocab_size=50257", "--max_iters=1", "--eval_interval=1"]
    plan = make_plan(load(words, entrance(words)).config, data=None, machine=detect_machine("cpu"))
    assert plan.params == params


def test_a_size_typed_beside_a_preset_wins_even_when_it_is_the_default(folder: Path) -> None:
    """train_lm.py compared with the parser's default, so that ``--model_preset small --d_model 256`` did nothing."""
    found = settings(folder, "--model_preset=small", "--d_model=256", "--num_heads=4")
    assert (found["n_embd"], found["n_head"], found["n_layer"], found["ffn_dim"]) == ("256", "4", "6", "None")


def test_a_run_leaves_the_folders_the_guide_promises_and_evaluates_once_an_epoch(folder: Path) -> None:
    done = lm(folder, *MODEL, "--dataset=wikitext-103", "--epochs=3", "--warmup_steps=5", "--lr=1e-2", "--json").json()
    run = folder / "lm_wikitext-103"
    assert done["run_dir"] == "lm_wikitext-103" and (run / "tensorboard").is_dir()
    for name in ("models", "snapshots"):
        assert os.readlink(run / name) == "checkpoints" and list((run / name).glob("step_*/model.safetensors"))
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evals = [event for event in events if event["event"] == "eval_done"]
    windows = (json.loads((run / "plan.json").read_text())["train_tokens"] - 1) // 16
    assert [event["iter"] for event in evals] == [math.ceil(epoch * windows / 8) for epoch in range(4)]
    losses = [event["val_loss"] for event in evals]
    assert losses == sorted(losses, reverse=True), "perplexity falls from epoch to epoch"
    assert len(list((run / "checkpoints").glob("step_*"))) <= 2, "the others are deleted at the end"
    moved = folder / "moved"
    shutil.move(run, moved)
    assert list((moved / "models").glob("step_*")), "the links are relative"


def test_resume_without_a_dataset_goes_on_with_the_newest_run(folder: Path) -> None:
    """The guide trains on wikitext-103 and then types ``--model_preset small --resume``, where wikitext is the default."""
    begin = [*MODEL, "--lr=1e-2", "--warmup_steps=5", "--epochs=1", "--json"]
    lm(folder, *begin, "--dataset=wikitext").json()
    lm(folder, *begin, "--dataset=wikitext-103").json()
    done = lm(folder, "--resume", "--epochs=2", "--json")
    assert done.json()["run_dir"] == "lm_wikitext-103" and "resumed from lm_wikitext-103" in done.err
    other = lm(folder, "--resume", "--epochs=2", "--dataset=wikitext", "--json")
    assert other.json()["run_dir"] == "lm_wikitext" and other.json()["iters"] == done.json()["iters"]


def test_switches_without_a_use_here_are_passed_over_in_a_line_each(folder: Path) -> None:
    done = lm(folder, "-y", "--info", "--sanity-check-interval", "10000", "--epochs=2", "--explain")
    assert done.code == 0 and [line.split(":")[0] for line in done.err.splitlines()] == [
        "-y", "--info", "--sanity-check-interval",
    ]  # fmt: skip
    assert without_use(["--sanity_check_interval=5", "--yes", "--lr", "1"])[0] == ["--lr", "1"]


def test_a_mistake_is_one_line(folder: Path) -> None:
    for words in (["--model_preset=tniy"], ["--epochz=3"], ["--dataset=../x"], ["--dataset=nowhere"]):
        done = lm(folder, *words)
        assert done.code in (2, 3) and len(done.err.splitlines()) == 1 and "Traceback" not in done.err, done.err
    assert not list(folder.glob("lm_*"))


def script(folder: Path, *words: str) -> Done:
    began = time.perf_counter()
    done = subprocess.run([ROOT / "run_train_lm.sh", *words], cwd=folder, capture_output=True, text=True, timeout=120)
    return Done(done.returncode, done.stdout, done.stderr, time.perf_counter() - began)


def test_the_script_has_its_own_defaults_and_passes_every_option_on(folder: Path) -> None:
    words = script(folder, "--dry-run").out.split()[1:]
    assert words == [
        "train-lm", "--dataset=wikitext-103", "--epochs=20", "--batch_size=32", "--lr=3e-4", "--warmup_steps=1000",
        "--snapshot_interval=5000",
    ]  # fmt: skip
    options = ["--preset", "small", "--dataset", "w", "--epochs", "1", "--batch_size", "2", "--lr", "3", "--warmup=4"]
    words = script(folder, *options, "--snapshot", "5", "--dry-run").out.split()[1:]
    assert words == [
        "train-lm", "--dataset=w", "--epochs=1", "--batch_size=2", "--lr=3", "--warmup_steps=4",
        "--snapshot_interval=5", "--model_preset=small",
    ]  # fmt: skip
    assert (
        script(folder, "--preset", "a b; touch hit", "--dry-run")
        .out.rstrip()
        .endswith(r"--model_preset=a\ b\;\ touch\ hit")
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--foo"], 2, "--foo: unknown option"),
        (["--foo=3"], 2, "--foo: unknown option"),
        (["extra"], 2, "extra: unknown option"),
        (["--lr"], 2, "--lr: needs a value"),
        (["--preset", "tniy"], 2, "did you mean 'tiny'"),
        (["--dataset", "nowhere"], 3, "gptmill prepare"),
    ],
)
def test_the_script_answers_a_mistake_at_once(folder: Path, words: list[str], code: int, says: str) -> None:
    done = script(folder, *words)
    assert done.code == code and says in done.err and not done.out, done
    assert script(folder, "--help").code == 0


def test_the_script_trains_in_the_background_and_what_it_prints_follows_and_stops_it(folder: Path) -> None:
    done = script(folder, "--preset", "tiny", "--dataset", "wikitext", "--epochs", "1000", "--batch_size", "2")
    assert done.code == 0, done.err
    lines = {line.split()[0]: line.split()[1:] for line in done.out.splitlines()}
    pid, log = int(lines["stop"][1]), folder / lines["follow"][2]
    try:
        assert lines["stop"][0] == "kill" and lines["follow"][:2] == ["tail", "-f"]
        assert log.parent == folder / "lm_wikitext" / "logs" and log.name.startswith("train_2")
        until = time.time() + 60
        while "step 0: " not in log.read_text() and time.time() < until:
            time.sleep(0.2)
    finally:
        os.kill(pid, signal.SIGTERM)
    until = time.time() + 60
    while Path(f"/proc/{pid}").exists() and time.time() < until:
        time.sleep(0.2)
    assert list((folder / "lm_wikitext" / "checkpoints").glob("step_*")), log.read_text()
    assert "Traceback" not in log.read_text()
