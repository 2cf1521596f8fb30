"""``--resume`` alone continues a run: with the values on record, and with what is typed now where that may differ."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import fields
from pathlib import Path

import pytest

from gptmill.config.schema import Config
from gptmill.plan.types import Plan
from gptmill.shapes import ModelShape
from gptmill.train.changes import FREE, IMPOSSIBLE, NEEDS_FLAG, ROUNDING, decides_bits
from tests.cli.run import SMALL, Done, gptmill, prepare_tiny

# A second value for every key, far from the first and valid beside the others of SMALL.
OTHER = {
    **{"n_layer": 3, "n_head": 4, "n_kv_head": 1, "n_embd": 32, "block_size": 8, "vocab_size": 64, "bias": True},
    **{"weight_tying": False, "normalization": "rmsnorm", "norm_eps": 1e-6, "norm_position": "post"},
    **{"position_encoding": "rope", "rope_theta": 500.0, "ffn_type": "swiglu", "ffn_dim": 8, "activation": "relu"},
    **{"qk_norm": True, "sliding_window": 4, "dataset": "other", "tokenizer": "byte", "freeze": "wte"},
    **{"dropout": 0.3, "sampling": "random", "seed": 7, "batch_size": 2, "gradient_accumulation_steps": 2},
    **{"effective_batch_size": 8, "learning_rate": 5e-3, "weight_decay": 0.2, "beta1": 0.8, "beta2": 0.9, "eps": 1e-7},
    **{"grad_clip": 0.5, "schedule": "linear", "warmup_iters": 3, "lr_decay_iters": 30, "min_lr": 1e-4},
    **{"min_lr_ratio": 0.3, "decay_fraction": 0.4, "decay_lr": False, "lr_scaling": "sqrt", "reference_batch_size": 2},
    **{"attention_backend": "manual", "device": "auto", "dtype": "bfloat16", "compile": False, "deterministic": True},
    **{"auto_batch_size": True, "max_batch_size": 3, "target_memory_utilization": 0.5},
    **{"activation_checkpointing": True, "matmul_precision": "highest", "strategy": "fsdp", "fsdp_min_num_params": 7.0, "on_spike": "skip", "on_nonfinite": "rollback"},
    **{"pruning_method": "magnitude", "target_sparsity": 0.3, "pruning_warmup": 5, "pruning_interval": 2, "pruning_ramp_end": 15},
    **{"optimizer": "sgd", "momentum": 0.5, "muon_momentum": 0.8, "muon_learning_rate": 0.02, "spam_variant": "spikes"},
    **{"spam_theta": 7.0, "spam_interval": 9, "spam_warmup_steps": 5, "spam_enable_clip": True},
    **{"spam_spike_threshold": 3.0, "adamwprune_base_optimizer_name": "adam", "adamwprune_amsgrad": True},
    **{"adamwprune_beta1": 0.7, "adamwprune_beta2": 0.8, "adamwprune_weight_decay": 0.3},
    **{"fused_optimizer": False, "chunked_loss": False, "prune_tied_head": True, "penalty_type": "neg_entropy", "penalty_weight": 0.1, "penalty_top_k": 3},
}  # fmt: skip
FLAGS = {
    "adamwprune_amsgrad": False,
    "n_kv_head": 2,
    "vocab_size": 29,
    "ffn_dim": 64,
    "tokenizer": "char",
}  # on record as numbers, not as None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    prepare_tiny(folder)
    words = [*SMALL, "--dropout=0.1", *(f"--{key}={value}" for key, value in FLAGS.items())]
    gptmill(folder, "train", *words, "--out_dir=straight", "--json").json()
    assert gptmill(folder, "train", *words, "--out_dir=half", "--max_iters=10").code == 0
    return folder


@pytest.fixture
def half(folder: Path, tmp_path: Path) -> Path:
    """The working folder of a run of 10 of 20 steps, in ``half``."""
    shutil.copytree(folder / "half", tmp_path / "half", symlinks=True)
    (tmp_path / "data").symlink_to(folder / "data")
    return tmp_path


def explained(done: Done) -> dict[str, list[str]]:
    assert done.code == 0, done.err
    return {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.startswith("  ")}


def test_every_key_of_the_schema_is_in_exactly_one_class() -> None:
    listed = [*IMPOSSIBLE, *NEEDS_FLAG, *ROUNDING, *FREE]
    assert sorted(listed) == sorted(Config.model_fields), set(listed) ^ set(Config.model_fields)


def test_what_a_checkpoint_records_follows_from_the_same_table() -> None:
    shape = {field.name for field in fields(ModelShape)}
    assert shape - set(decides_bits(shape)) <= set(IMPOSSIBLE) and decides_bits(IMPOSSIBLE) == ()
    recorded = decides_bits(field.name for field in fields(Plan))
    assert {"learning_rate", "seed", "batch_size", "world_size", "device", "decay_fraction"} <= set(recorded)
    assert not set(recorded) & set(FREE)


def test_resume_alone_ends_with_the_bits_of_a_run_that_was_told_everything_twice(half: Path, folder: Path) -> None:
    done = gptmill(half, "train", "--resume", "--out_dir=half", "--max_iters=20", "--json")
    straight = json.loads((folder / "straight" / "metrics.jsonl").read_text().splitlines()[-1])["summary"]
    assert done.json()["weights_sha256"] == straight["weights_sha256"]
    assert "half goes on with max_iters 10 -> 20" in done.err and "not bit for bit" not in done.err


def test_values_come_back_with_the_place_that_first_set_them_however_often_a_run_is_resumed(half: Path) -> None:
    before = json.loads((half / "half" / "config.json").read_text())["keys"]
    for n in (12, 14):
        assert gptmill(half, "train", "--resume", "--out_dir=half", f"--max_iters={n}").code == 0
    after = json.loads((half / "half" / "config.json").read_text())["keys"]
    assert {key: entry for key, entry in after.items() if entry != before[key]} == {
        "max_iters": {"origin": "--max_iters", "value": 14},
        "init_from": {"origin": "--resume", "value": "resume"},
    }
    diary = [json.loads(line) for line in (half / "half" / "metrics.jsonl").open()]
    told = [(event["iter"], event["changes"]) for event in diary if event["event"] == "plan_changed"]
    assert [(iter, changes["max_iters"]) for iter, changes in told] == [(10, [10, 12]), (12, [12, 14])]
    assert all(set(changes) <= {"max_iters", "total_tokens", "epochs"} for _, changes in told), told
    rows = explained(gptmill(half, "train", "--resume", "--out_dir=half", "--explain"))
    assert rows["n_embd"] == ["16", "run", "half:", "--n_embd"] and rows["beta1"] == ["0.9", "default"]


def test_the_newest_unfinished_run_of_a_family_brings_its_own_config(half: Path) -> None:
    shutil.move(half / "half", half / "out-2")
    assert explained(gptmill(half, "train", "--resume", "--explain"))["n_embd"][1:3] == ["run", "out-2:"]


# of how many documents data consists shows in its hash
@pytest.mark.parametrize("key", sorted(set(IMPOSSIBLE) - {"max_samples"}))
def test_what_makes_it_another_run_is_refused_by_flag_and_by_file(half: Path, key: str) -> None:
    record = (half / "half" / "config.json").read_bytes()
    (half / "mine.py").write_text(f"{key} = {OTHER[key]!r}\n")
    began = time.process_time()
    for words in ([f"--{key}={OTHER[key]}"], ["mine.py"]):
        done = in_process(half, ["train", *words, "--resume", "--out_dir=half"])
        assert done.code == 2 and not done.out, done.err
        line = next(line for line in done.err.splitlines() if f"{key} " in line)
        assert f"-> {OTHER[key]}" in line and words[0].split("=")[0] in line and "another" in line
    assert time.process_time() - began < 5
    assert (half / "half" / "config.json").read_bytes() == record


@pytest.mark.parametrize("key", sorted(NEEDS_FLAG))
def test_what_changes_the_course_is_refused_from_a_file_and_taken_from_a_flag(half: Path, key: str) -> None:
    (half / "mine.py").write_text(f"{key} = {OTHER[key]!r}\n")
    refused = in_process(half, ["train", "mine.py", "--resume", "--out_dir=half", "--explain"])
    assert refused.code == 2 and refused.err.count("error: ") == 1, refused.err
    assert f"mine.py:1: {key} " in refused.err and f"type --{key}={OTHER[key]}" in refused.err
    taken = in_process(half, ["train", f"--{key}={OTHER[key]}", "--resume", "--out_dir=half", "--explain"])
    assert explained(taken)[key] == [str(OTHER[key]), f"--{key}"]


@pytest.mark.parametrize("key", sorted(ROUNDING))
def test_what_only_rounds_differently_is_free(half: Path, key: str) -> None:
    (half / "mine.py").write_text(f"{key} = {OTHER[key]!r}\n")
    done = in_process(half, ["train", "mine.py", "--resume", "--out_dir=half", "--explain"])
    assert explained(done)[key] == [str(OTHER[key]), "mine.py:1"]


def test_changes_are_said_when_the_run_goes_on(half: Path) -> None:
    (half / "mine.py").write_text("eval_interval = 5\nmax_iters = 12\nlearning_rate = 1e-2\n")
    done = gptmill(half, "train", "mine.py", "--resume", "--out_dir=half", "--weight_decay=0.3")
    assert done.code == 0 and "half goes on with eval_interval 10 -> 5, max_iters 10 -> 12" in done.err.replace(
        "max_iters 10 -> 12, eval_interval 10 -> 5", "eval_interval 10 -> 5, max_iters 10 -> 12"
    )
    assert "not bit for bit: weight_decay 0.1 -> 0.3\n" in done.err


def test_an_evaluation_in_between_is_not_remembered(half: Path) -> None:
    evaluated = gptmill(half, "train", "--resume", "--out_dir=half", "--max_iters=20", "--eval_only", "--json").json()
    assert evaluated["iters"] == 10
    assert gptmill(half, "train", "--resume", "--out_dir=half", "--json").json()["iters"] == 20


def test_where_there_is_no_run_the_others_are_named(half: Path) -> None:
    done = gptmill(half, "train", "--resume")
    assert (done.code, done.err) == (
        2, "error: --resume: no run in out; runs here: half (--out_dir=NAME); to start one, name a config\n"
    )  # fmt: skip


def test_a_lost_record_is_called_missing_and_nothing_is_touched(half: Path) -> None:
    (half / "half" / "config.json").unlink()
    before = sorted(path.name for path in (half / "half").iterdir())
    done = gptmill(half, "train", *SMALL, "--resume", "--out_dir=half")
    assert done.code == 2 and "config.json: missing; put it back from a copy" in done.err
    assert sorted(path.name for path in (half / "half").iterdir()) == before


def test_a_refused_change_leaves_the_record_as_it_was(half: Path, folder: Path) -> None:
    """A value that was worked out is found out only at the checkpoint; the next --resume must not inherit it."""
    record = (half / "half" / "config.json").read_text()
    shutil.copytree(folder / "data" / "tiny", half / "elsewhere" / "tiny")
    meta = json.loads((half / "elsewhere" / "tiny" / "meta.json").read_text())
    gptmill(
        half,
        "prepare",
        "--input",
        str(folder / "tiny.txt"),
        "--tokenizer=char",
        "--data_dir=elsewhere",
        "--val_fraction=0.3",
        "--overwrite",
    )
    assert json.loads((half / "elsewhere" / "tiny" / "meta.json").read_text()) != meta
    refused = gptmill(half, "train", "--resume", "--out_dir=half", "--max_iters=12", "--data_dir=elsewhere")
    assert refused.code == 2 and "data_sha256" in refused.err
    assert (half / "half" / "config.json").read_text() == record
    assert gptmill(half, "train", "--resume", "--out_dir=half", "--max_iters=12").code == 0


def test_the_preset_a_run_was_made_with_may_be_named_again_and_another_may_not(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(folder / "data")
    small = [word for word in SMALL if not word.startswith(("--n_", "--block"))]
    words = ["--preset=tiny", "--n_layer=1", "--n_embd=16", "--block_size=16"]
    assert gptmill(tmp_path, "train", *small, *words, "--out_dir=a").code == 0
    again = explained(gptmill(tmp_path, "train", "--resume", "--out_dir=a", "--model_preset=tiny", "--explain"))
    assert again["n_layer"][0] == "1" and again["preset"][0] == "tiny"
    other = gptmill(tmp_path, "train", "--resume", "--out_dir=a", "--preset=small")
    assert other.code == 2 and "preset small: n_layer 1 -> 6" in other.err and "error" in other.err


HOSTILE = {
    "torn": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "no_keys": lambda text: '{"format": "gptmill-run"}',
    "keys_are_a_list": lambda text: '{"format": "gptmill-run", "keys": []}',
    "deep": lambda text: '{"format": "gptmill-run", "keys": {"n_layer": ' + "[" * 50_000,
    "huge_number": lambda text: text.replace('"value": 16', f'"value": {"9" * 5000}'),
    "big_number": lambda text: text.replace('"value": 16', f'"value": {10**30}'),
    "not_a_number": lambda text: text.replace('"value": 16', '"value": NaN'),
    "a_list": lambda text: text.replace('"value": 16', '"value": [16]'),
    "code": lambda text: text.replace('"value": 16', '"value": "__import__(\'os\').system(\'touch hit\')"'),
    "escapes": lambda text: text.replace('"value": "tiny"', '"value": "\\u001b[31mred"'),
    "upwards": lambda text: text.replace('"value": "tiny"', '"value": "../../etc"'),
    "endless": lambda text: text.replace('"tiny"', '"' + "a" * 200_000 + '"'),
    "null_origin": lambda text: text.replace('"origin": "--n_layer"', '"origin": {"a": []}'),
}  # fmt: skip


@pytest.mark.parametrize("how", HOSTILE)
def test_a_damaged_or_hostile_record_ends_in_lines_that_say_which_file(half: Path, how: str) -> None:
    path = half / "half" / "config.json"
    text = path.read_text()
    path.write_text(HOSTILE[how](text))
    assert path.read_text() != text
    done = in_process(half, ["train", "--resume", "--out_dir=half", "--explain"])
    assert not (half / "hit").exists() and "\x1b" not in done.err + done.out
    if how == "null_origin":  # a strange origin is only shown
        assert explained(done)["n_layer"][0] == "2"
        return
    started = gptmill(half, "train", "--resume", "--out_dir=half") if done.code == 0 else done
    assert started.code == 2 and "Traceback" not in started.err, started.err
    assert 1 <= len(started.err.splitlines()) <= 4 and "half" in started.err


def test_a_record_of_another_version_is_read_as_far_as_it_is_known(half: Path) -> None:
    path = half / "half" / "config.json"
    record = json.loads(path.read_text())
    record["keys"]["flux_capacitor"] = {"value": 3, "origin": "--flux_capacitor"}
    del record["keys"]["eval_iters"]
    path.write_text(json.dumps(record))
    rows = explained(gptmill(half, "train", "--resume", "--out_dir=half", "--explain"))
    assert rows["eval_iters"] == ["200", "default"] and rows["n_embd"][0] == "16"


def in_process(folder: Path, words: list[str]) -> Done:
    """The command without the seconds that a new process takes."""
    import contextlib
    import io
    import os

    from gptmill.cli.main import main

    out, err, here = io.StringIO(), io.StringIO(), os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(words)
    finally:
        os.chdir(here)
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue(), 0.0)
