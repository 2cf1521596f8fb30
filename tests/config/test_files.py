"""Where a config is found: on disk by path or by name, else inside the package, from any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptmill.config.files import packaged
from gptmill.config.load import load


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mine.py", "mine.py"),
        ("mine.py", "./mine.py"),
        ("configs/mine.py", "configs/mine.py"),
        ("config/mine.py", "config/mine.py"),
        ("configs/mine.py", "mine"),
        ("config/mine.py", "mine"),
        ("config/mine.py", "mine.py"),
        ("configs/mine_1.36b.py", "mine_1.36b"),
        ("deep/er/mine.py", "deep/er/mine.py"),
    ],
)
def test_a_config_on_disk_answers_to(in_empty_folder: Path, file: str, name: str) -> None:
    path = in_empty_folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("n_layer = 3\n")
    resolved = load([name])
    assert resolved.config.n_layer == 3
    assert resolved.origins["n_layer"].endswith(f"{Path(file).name}:1")
    assert load([f"--config={name}"]).config == resolved.config
    assert load(["--config", name]).config == resolved.config


@pytest.mark.parametrize("name", ["quick", "quick.py", "configs/quick.py", "config/quick.py"])
def test_a_packaged_config_answers_from_an_empty_folder(name: str) -> None:
    resolved = load([name])
    assert resolved.config.dataset == "python_stdlib"
    assert resolved.origins["dataset"].startswith("configs/quick.py:")


def test_a_file_on_disk_wins_over_the_packaged_one(in_empty_folder: Path) -> None:
    (in_empty_folder / "configs").mkdir()
    (in_empty_folder / "configs" / "quick.py").write_text("n_layer = 1\n")
    assert load(["quick"]).config.n_layer == 1


@pytest.mark.parametrize("name", [found.source.name.removesuffix(".yaml") for found in packaged("config/presets")])
def test_every_preset_sets_only_what_it_names(name: str) -> None:
    resolved = load([f"--preset={name}"])
    origins = {key: origin for key, origin in resolved.origins.items() if origin not in ("default", "--preset")}
    assert origins
    assert set(origins.values()) == {f"preset {name}"}


def test_presets_are_the_published_architectures() -> None:
    gpt2, llama = load(["--preset=gpt2"]).config, load(["--preset=llama"]).config
    parts = ("norm_position", "normalization", "position_encoding", "ffn_type", "weight_tying", "bias", "dropout")
    assert [getattr(gpt2, p) for p in parts] == [
        "pre",
        "layernorm_nobias",
        "learned_absolute",
        "standard",
        True,
        False,
        0,
    ]
    assert [getattr(llama, p) for p in parts] == ["pre", "rmsnorm", "rope", "swiglu", False, False, 0]
    assert gpt2.activation == "gelu"


def test_a_byte_order_mark_and_windows_line_ends_are_read(in_empty_folder: Path) -> None:
    (in_empty_folder / "c.py").write_bytes(b"\xef\xbb\xbfn_layer = 3\r\nn_head = 4\r\n")
    (in_empty_folder / "c.yml").write_bytes(b"\xef\xbb\xbfn_embd: 64\r\n")
    config = load(["c.py", "c.yml"]).config
    assert (config.n_layer, config.n_head, config.n_embd) == (3, 4, 64)


def test_an_empty_config_changes_nothing(in_empty_folder: Path) -> None:
    (in_empty_folder / "c.yaml").write_text("# nothing\n")
    (in_empty_folder / "c.py").write_text("")
    assert load(["c.yaml", "c.py"]).config == load([]).config
