"""The same setting means the same whichever way it is written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from gptmill.config.load import load
from gptmill.config.schema import Config
from tests.config.fuzz.wishes import merged, wishes


@given(wishes())
@settings(max_examples=60)
def test_a_config_survives_being_written_and_read_again(wish: dict[str, Any]) -> None:
    config = Config(**merged(wish))
    dumped = config.model_dump()
    for key, mates in (
        ("max_iters", ("epochs", "max_tokens")),
        ("gradient_accumulation_steps", ("effective_batch_size",)),
    ):
        if any(dumped[mate] is not None for mate in mates):
            del dumped[key]  # it does not decide
    text = "".join(f"{key} = {value!r}\n" for key, value in dumped.items())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "again.py")
        path.write_text(text, encoding="utf-8")
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
