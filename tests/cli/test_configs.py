"""The pages about configs: complete, narrow enough, and plain when nobody looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptmill.cli.configs import configs
from gptmill.cli.explain import explain
from gptmill.cli.keyhelp import print_key_help
from gptmill.config.aliases import RENAMED
from gptmill.config.load import load
from gptmill.config.schema import Config

Capture = pytest.CaptureFixture[str]


def test_configs_lists_packaged_ones_presets_and_those_in_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.py").write_text('"""\nMy model.\nMore.\n"""\nn_layer = 1\n')
    (tmp_path / "configs" / "other.yaml").write_text("# --- \n# Another one\nn_layer: 1\n")
    (tmp_path / "configs" / "bare.py").write_text("n_layer = 1\n")
    configs()
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    said = {line[0]: line[1] if len(line) > 1 else "" for line in lines}
    assert (said["mine"], said["other"], said["bare"]) == ("My model.", "Another one", "")
    assert {"quick", "gpt2", "llama"} <= set(said)


def test_explain_names_every_key_with_value_and_origin(capsys: Capture) -> None:
    explain(load(["--lr=1e-3", "--preset=llama", "--epochs=2"]))
    rows = {
        line.split()[0]: line.split(maxsplit=2)[1:] for line in capsys.readouterr().out.splitlines() if line[0] == " "
    }
    assert set(rows) == set(Config.model_fields)
    assert rows["learning_rate"] == ["0.001", "--lr"]
    assert rows["normalization"] == ["rmsnorm", "preset llama"]
    assert rows["max_iters"] == ["600000", "not used: epochs decides"]


def test_explain_draws_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    explain(load(["--out_dir=[bold]x"]))  # a value is never read as markup
    out = capsys.readouterr().out
    assert "set by" in out and "[bold]x" in out


def test_key_help_fits_80_columns_and_leaves_no_key_or_alias_out(capsys: Capture) -> None:
    print_key_help()
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80
    for name in [*Config.model_fields, *RENAMED]:
        assert f"--{name}" in out
