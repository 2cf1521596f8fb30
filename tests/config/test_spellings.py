"""The same setting means the same whichever way it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptmill.config.load import load
from gptmill.config.schema import Config

QUICKLY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

whole = st.integers(1, 4096)
rate = st.floats(0, 1, exclude_max=True, allow_nan=False)
words = st.text("abcdefghijklmnopqrstuvwxyzABCDEFG0123456789_-.é", min_size=1, max_size=20).filter(
    lambda w: w.strip(".") != "" and not w.startswith("-") and w != "None"
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n_layer": whole,
    "block_size": st.integers(2, 10**6),
    "vocab_size": whole,
    "dropout": rate,
    "weight_tying": st.booleans(),
    "bias": st.booleans(),
    "normalization": st.sampled_from(["layernorm", "layernorm_nobias", "rmsnorm"]),
    "norm_eps": st.floats(1e-12, 1, allow_nan=False),
    "dataset": words | st.sampled_from(["on", "off", "yes", "null", "true", "1e3", "0x10", "5"]),
    "out_dir": words
    | st.sampled_from(["~", "12:30", "- a", "a: b", "#a", "a=b", "'q'", '"q"', "{}", "*a", "&a", "!a"]),
    "sampling": st.sampled_from(["shuffle", "random"]),
    "seed": st.integers(0, 2**62),
    "epochs": st.floats(0.01, 1e6, allow_nan=False) | st.integers(1, 100),
    "learning_rate": st.floats(0, 10, allow_nan=False),
    "warmup_iters": st.integers(0, 10**9),
    "compile": st.sampled_from([True, False, "auto"]),
    "checkpoint_minutes": st.floats(0, 1e4, allow_nan=False),
    "tokenizer": st.sampled_from(["char", "byte", "gpt2", "bpe-300"]),
}
some_settings = st.fixed_dictionaries({}, optional=VALUES)


def as_python(chosen: dict[str, Any]) -> str:
    return "".join(f"{key} = {value!r}\n" for key, value in chosen.items())


def as_yaml(chosen: dict[str, Any]) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in chosen.items())


@given(chosen=some_settings)
@QUICKLY
def test_python_yaml_and_flags_give_equal_configs(tmp_path: Path, chosen: dict[str, Any]) -> None:
    python, yaml = tmp_path / "c.py", tmp_path / "c.yaml"
    python.write_text(as_python(chosen), encoding="utf-8")
    yaml.write_text(as_yaml(chosen), encoding="utf-8")
    # text that looks like None, or is itself in quotes, needs quotes on a command line
    flags = [f"--{k}={v!r}" if str(v) == "null" or str(v)[0] in "'\"" else f"--{k}={v}" for k, v in chosen.items()]
    # a value that begins with a dash needs the equals sign
    spaced = [word for flag in flags for word in (flag.split("=", 1) if "=-" not in flag else [flag])]
    expected = Config(**chosen)
    for argv in (
        [str(python)],
        [str(yaml)],
        flags,
        [f.replace("_", "-", f.split("=")[0].count("_")) for f in flags],
        spaced,
    ):
        assert load(argv).config == expected, argv


@given(chosen=some_settings)
@QUICKLY
def test_a_config_survives_being_written_and_read_again(tmp_path: Path, chosen: dict[str, Any]) -> None:
    config = Config(**chosen)
    dumped = config.model_dump()
    if config.epochs is not None:
        del dumped["max_iters"]  # epochs decides
    path = tmp_path / "again.py"
    path.write_text(
        as_python({k: v for k, v in dumped.items() if k != "gradient_accumulation_steps"}), encoding="utf-8"
    )
    assert load([str(path)]).config == config


@pytest.mark.parametrize(
    ("written", "key", "value"),
    [
        ("6e-4", "learning_rate", 6e-4),  # text to PyYAML
        ("1E-3", "learning_rate", 1e-3),
        (".5", "dropout", 0.5),
        ("1e9", "max_tokens", 10**9),
        ("10_000", "max_iters", 10_000),
        ("010", "max_iters", 10),  # 8 to PyYAML
        ("1", "grad_clip", 1.0),
        ("on", "dataset", "on"),  # True to PyYAML
        ("no", "dataset", "no"),
        ("12:30:45", "out_dir", "12:30:45"),  # 45045 to PyYAML
        ("2024-01-01", "dataset", "2024-01-01"),  # a date to PyYAML
        ("off", "compile", False),
        ("no", "weight_tying", False),
        ("yes", "bias", True),
    ],
)
def test_yaml_words_mean_what_their_key_expects(tmp_path: Path, written: str, key: str, value: object) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"{key}: {written}\n")
    found = getattr(load([str(path)]).config, key)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("argv", "key", "value"),
    [
        (["--lr", "1e-3"], "learning_rate", 1e-3),
        (["--max_lr=3e-3"], "learning_rate", 3e-3),
        (["--d_model=96"], "n_embd", 96),
        (["--num_heads=4"], "n_head", 4),
        (["--num_layers=3"], "n_layer", 3),
        (["--max_seq_length=64"], "block_size", 64),
        (["--d_ff=100"], "ffn_dim", 100),
        (["--warmup", "0"], "warmup_iters", 0),
        (["--gradient-accumulation", "4"], "gradient_accumulation_steps", 4),
        (["--target_effective_batch_size=32"], "effective_batch_size", 32),
        (["--num-epochs", "2"], "epochs", 2.0),
        (["--total_steps=7"], "max_iters", 7),
        (["--gradient_clip=0"], "grad_clip", 0.0),
        (["--max_grad_norm=2"], "grad_clip", 2.0),
        (["--eval_samples=9"], "eval_iters", 9),
        (["--snapshot", "5000"], "snapshot_interval", 5000),
        (["--output_dir=x"], "out_dir", "x"),
        (["--compile_model=False"], "compile", False),
        (["--resume"], "init_from", "resume"),
        (["--resume=True"], "init_from", "resume"),
        (["--no-resume"], "init_from", "scratch"),
        (["--flash_attention"], "attention_backend", "sdpa"),
        (["--flash-attention=False"], "attention_backend", "manual"),
        (["--attention_backend=flash_attn_2"], "attention_backend", "sdpa"),
        (["--compile"], "compile", True),
        (["--no-compile"], "compile", False),
        (["--compile", "false"], "compile", False),
        (["--out_dir=a=b"], "out_dir", "a=b"),
        (["--out_dir='a b'"], "out_dir", "a b"),
        (["--n_layer=1", "--n_layer=2"], "n_layer", 2),
        (["--fsdp_min_num_params=500000", "--n_layer", "2"], "n_layer", 2),
    ],
)
def test_documented_spellings_reach_their_key(argv: list[str], key: str, value: object) -> None:
    resolved = load(argv)
    assert getattr(resolved.config, key) == value
    assert resolved.origins[key].startswith("--")


def test_a_switch_before_a_config_name_does_not_swallow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.py").write_text("n_layer = 2\n")
    config = load(["--compile", "c.py", "--bias"]).config
    assert (config.compile, config.n_layer, config.bias) == (True, 2, True)


def test_a_spelling_never_changes_a_default() -> None:
    assert load([]).config == Config()
