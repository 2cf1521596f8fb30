"""gptmill ablate: from the command line to the verdicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import SMALL, gptmill, prepare_tiny

STUDY = """\
settings:
  max_iters: 12
  lr_decay_iters: 12
seeds: 3
arms:
  base:
  noisy:
    learning_rate: 0.5
"""
FLAGS = [word for word in SMALL if not word.startswith(("--max_iters", "--lr_decay_iters", "--learning_rate"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ablate")
    prepare_tiny(path)
    (path / "rate.yaml").write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def first(folder: Path) -> dict[str, Any]:
    """What one seed of each arm came to."""
    return gptmill(folder, "ablate", "rate.yaml", *FLAGS, "--seeds=1", "--json").json()


def listed(folder: Path, *words: str) -> list[list[str]]:
    """The rows of a dry run: run, steps, tokens, ..."""
    done = gptmill(folder, "ablate", *words, "--dry_run")
    assert done.code == 0, done.err
    return [line.split() for line in done.out.splitlines()[2:] if "-seed" in line]


def test_arms_are_trained_on_the_same_text_with_the_same_seeds_and_the_same_command_goes_on(
    folder: Path, first: dict[str, Any]
) -> None:
    assert [arm["verdict"] for arm in first["arms"]] == ["baseline", "too few seeds"]
    runs = {path.name: path for path in (folder / "out-rate").glob("*-seed1337")}
    assert set(runs) == {"base-seed1337", "noisy-seed1337"}
    # another rate, the same first loss: the same weights have seen the same first batch
    losses = [
        next(e["loss"] for line in (path / "metrics.jsonl").open() if (e := json.loads(line))["event"] == "step_done")
        for path in runs.values()
    ]
    assert losses[0] == losses[1]
    assert first["arms"][0]["runs"][0]["val_loss"] != first["arms"][1]["runs"][0]["val_loss"]

    for seed in (1338, 1339):  # as if those runs had been made: their losses differ a little, as seeds' do
        for arm in ("base", "noisy"):
            copy = folder / "out-rate" / f"{arm}-seed{seed}"
            shutil.copytree(runs[f"{arm}-seed1337"], copy)
            config = json.loads((copy / "config.json").read_text())
            config["keys"]["seed"]["value"] = seed
            (copy / "config.json").write_text(json.dumps(config))
            shift = {1338: 0.01, 1339: 0.02}[seed] * (1.1 if arm == "noisy" else 1)
            lines = [json.loads(line) for line in (copy / "metrics.jsonl").open()]
            for event in lines:
                if event["event"] == "eval_done":
                    event["val_loss"] += shift
            (copy / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in lines))
    done = gptmill(folder, "ablate", "rate.yaml", *FLAGS)
    assert done.code == 0, done.err
    assert "noisy: worse by" in done.out or "noisy: better by" in done.out
    found = json.loads((folder / "out-rate" / "ablation.json").read_text())
    assert 0 < found["arms"][1]["evaluation_noise"] < 1 and "moves the difference of a pair by" in " ".join(
        done.out.split()
    )
    assert [run["seed"] for run in found["arms"][1]["runs"]] == [1337, 1338, 1339]
    assert found["differences"]["learning_rate"] == {"base": 0.0006, "noisy": 0.5}
    page = (folder / "out-rate" / "ablation.html").read_text()
    assert "gptmill ablate rate.yaml" in page and "than base" in page


def test_evaluation_noise_is_the_standard_error_of_a_sample_without_replacement(
    folder: Path, first: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import torch
    from scipy import stats
    from torch.nn import functional as F

    from gptmill.cli.evalnoise import evaluation_noise
    from gptmill.cli.weights import load_model, read_weights
    from gptmill.data.batches import fixed_batches
    from gptmill.data.shards import open_tokens

    monkeypatch.chdir(folder)
    runs = [Path("out-rate", f"{arm}-seed1337") for arm in ("base", "noisy")]
    tokens = open_tokens(Path("data") / "tiny" / "val.bin")
    ids_NS = torch.from_numpy(fixed_batches(tokens, 16, 1337, 8))  # 2 batches of 4
    losses = []
    for run in runs:
        with torch.no_grad():
            logits_NTV = load_model(read_weights(run), "cpu").eval()(ids_NS[:, :-1])
        losses.append(F.cross_entropy(logits_NTV.transpose(1, 2), ids_NS[:, 1:], reduction="none").mean(1).numpy())
    correction = np.sqrt(1 - 8 / ((len(tokens) - 1) // 16))
    found = evaluation_noise(*runs)
    assert found == first["arms"][1]["evaluation_noise"]
    assert found == pytest.approx(stats.sem(losses[0] - losses[1]) * correction, rel=1e-4)
    assert evaluation_noise(runs[0], Path("nowhere")) is None


def test_every_arm_of_the_documents_study_is_a_run_of_every_seed(tmp_path: Path) -> None:
    rows = listed(tmp_path, "ablate_gpt2_to_llama")
    arms = ["gpt2", "rope", "rmsnorm", "swiglu", "llama"]
    assert [row[0] for row in rows] == [f"{arm}-seed{seed}" for seed in range(1337, 1342) for arm in arms]
    assert {row[1] for row in rows} == {"5,000"}


def test_equal_flops_and_equal_tokens_decide_how_many_steps_an_arm_takes(folder: Path) -> None:
    words = [*FLAGS, "--max_iters=100", "--vary=n_layer=1,4", "--vary=batch_size=8", "--seeds=1"]
    steps = {row[0]: row[1] for row in listed(folder, *words)}
    assert steps == {"baseline-seed1337": "100", "n_layer=4-seed1337": "100", "batch_size=8-seed1337": "50"}
    rows = {row[0]: int(row[1].replace(",", "")) for row in listed(folder, *words, "--view=flops")}
    plans = {
        n: gptmill(folder, "plan", *FLAGS, "--max_iters=100", f"--n_layer={n}", "--json").json()["flops_per_token"]
        for n in (1, 4)
    }
    assert rows["n_layer=4-seed1337"] == round(100 * plans[1] / plans[4]) < 100
    assert rows["batch_size=8-seed1337"] == 50


def test_an_arm_may_begin_with_a_model(folder: Path, first: dict[str, Any]) -> None:
    model = "out-rate/base-seed1337"
    (folder / "start.yaml").write_text(f"seeds: 1\narms:\n  scratch:\n  pretrained:\n    init_from: {model}\n")
    words = [*FLAGS, "--max_iters=2", "--lr_decay_iters=2", "--eval_interval=1"]
    found = gptmill(folder, "ablate", "start.yaml", *words, "--json").json()
    assert found["differences"]["init_from"] == {"scratch": "scratch", "pretrained": model}
    events = map(json.loads, (folder / "out-start" / "pretrained-seed1337" / "metrics.jsonl").read_text().splitlines())
    begins = next(event["val_loss"] for event in events if event["event"] == "eval_done")
    assert begins == pytest.approx(first["arms"][0]["runs"][0]["val_loss"], abs=1e-6)  # where the model had ended

    log = folder / "out-start" / "pretrained-seed1337" / "metrics.jsonl"  # as if it had been stopped before its end
    log.write_text("".join(line for line in log.open() if "run_done" not in line))
    again = gptmill(folder, "ablate", "start.yaml", *words, "--json").json()
    (run,) = again["arms"][1]["runs"]
    assert run["finished"] and run["val_loss"] == found["arms"][1]["runs"][0]["val_loss"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to compare"),
        (["quick"], "nothing to compare"),
        (["quick", "--vary=normalizaton=rmsnorm"], "unknown key"),
        (["quick", "--vary=normalization=rmsmorm"], "rmsmorm"),
        (["quick", "--vary=normalization=rmsnorm"], "the config has these values already"),
        (["quick", "--vary=dataset=python_stdlib,other", "--vocab_size=2048"], "cannot be compared"),
        (["ablate_gpt2_to_llama", "--vary=bias=True"], "is a study, which names its own configs"),
        (["ablate_gpt2_to_llama", "quick"], "is a study, which names its own configs"),
        (["quick", "--vary=seed=1,2"], "the study sets seed for every run; leave it out; --seeds=N takes N of them"),
        (["quick", "--vary=out-dir=a,b"], "the study sets out_dir for every run"),
        (["quick", "--vary=bias=True", "--init_from=resume"], "--init_from: resume: a study goes on by itself"),
        (["sweep_lambda_openwebtext"], "is a sweep, which ranks settings"),
        (["quick", "--vary=bias=True", "--drop_hopeles"], "did you mean '--drop_hopeless'?"),
        (["quick", "--vary=bias=True", "--seeds=0"], "--seeds=0: must be a whole number from 1 to 1000"),
        (["quick", "--vary=bias=True", "--view=money"], "--view=money: must be one of"),
        (["quick", "--vary=bias=True", "--detect=-1"], "--detect=-1: must be a loss above 0"),
        (["quick", "--vary=bias=True", "--view=time", "--parallel=2"], "slow each other"),
        (["quick", "--vary=bias=True", "--out_dir=there"], "holds a run, not a study"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_trained(tmp_path: Path, words: list[str], says: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.json").write_text('{"format": "gptmill-run", "keys": {}}')
    if "there" in str(words):
        prepare_tiny(tmp_path)
        words = [*words[1:], *SMALL]
    done = gptmill(tmp_path, "ablate", *words)
    assert done.code == 2 and done.err.count("\n") == 1 and says in done.err, done.err
