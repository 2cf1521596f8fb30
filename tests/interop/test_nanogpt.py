"""nanoGPT's checkpoints: read without running what is in them, and written as its sample.py loads them.

Oracle: Hugging Face's GPT-2, which nanoGPT's model is but for matrices that stand the other way round and an exact GELU.
nanoGPT's own model.py was run on both (docs/log.md).
"""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gptmill.cli.main import main
from gptmill.cli.weights import load_model, read_weights
from gptmill.errors import UserError
from gptmill.interop.nanogpt import as_checkpoint
from gptmill.model.gpt import build
from gptmill.shapes import ModelShape
from tests.interop.theirs import logits, model, some_ids

MATRICES = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def checkpoint(path: Path, prefix: str = "") -> Any:
    """A checkpoint as nanoGPT's train.py saves it, of a model that Hugging Face computes."""
    theirs = model("gpt2", activation_function="gelu")
    weights = {
        prefix + name: weight.T.contiguous() if name.endswith(MATRICES) else weight
        for name, weight in theirs.state_dict().items()
    }
    sizes = {"n_layer": 2, "n_head": 3, "n_embd": 24, "block_size": 48, "vocab_size": 130, "bias": True, "dropout": 0.1}
    moments = {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95)}]}
    torch.save(
        {"model": weights, "optimizer": moments, "model_args": sizes, "iter_num": 7, "best_val_loss": torch.tensor(3.25),
         "config": {"dataset": "shakespeare_char"}},
        path,
    )  # fmt: skip
    return theirs


def called(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "_orig_mod.module."])
def test_a_checkpoint_comes_in_with_the_same_logits_its_step_and_its_loss(
    prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = checkpoint(tmp_path / "ckpt.pt", prefix)
    assert called(capsys, "import", tmp_path / "ckpt.pt", "--out", tmp_path / "run")[0] == 0
    ours = load_model(read_weights(tmp_path / "run"), "cpu").eval()
    assert (logits(ours, some_ids()) - logits(theirs, some_ids())).abs().max() <= 1e-4
    state = json.loads((tmp_path / "run/checkpoints/step_00000007/state.json").read_text())
    assert (state["iter"], state["best_val_loss"]) == (7, 3.25)


def test_a_checkpoint_goes_out_under_nanogpts_names_and_comes_back_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(tmp_path / "ckpt.pt")
    assert called(capsys, "import", tmp_path / "ckpt.pt", "--out", tmp_path / "run")[0] == 0
    done = called(capsys, "export", "--run", tmp_path / "run", "--format", "nanogpt", "--out", tmp_path / "out")
    assert done[0] == 0, done
    before, after = (torch.load(tmp_path / path, weights_only=True) for path in ("ckpt.pt", "out/ckpt.pt"))
    assert before["model"].keys() == after["model"].keys()
    assert all(torch.equal(before["model"][key], after["model"][key]) for key in before["model"])
    sizes = {key: value for key, value in before["model_args"].items() if key != "dropout"}
    assert {key: after["model_args"][key] for key in sizes} == sizes
    assert (after["iter_num"], after["best_val_loss"].item()) == (7, 3.25)
    assert after["model"]["lm_head.weight"].data_ptr() == after["model"]["transformer.wte.weight"].data_ptr()  # tied


class Program:
    def __reduce__(self) -> Any:
        return (Path("ran").touch, ())


FOREIGN = {
    "a program": lambda path: path.write_bytes(pickle.dumps({"model": Program()})),
    "a program in torch's format": lambda path: torch.save({"model": {}, "model_args": Program()}, path),
    "noise": lambda path: path.write_bytes(b"\x93NUMPY" * 50),
    "nothing": lambda path: path.write_bytes(b""),
    "a list": lambda path: torch.save([1, 2], path),
    "no model_args": lambda path: torch.save({"model": {"a": torch.ones(1)}}, path),
    "sizes that are none": lambda path: torch.save({"model": {}, "model_args": {"n_layer": -1}}, path),
}


SAYS = {"nothing": "an empty file", "noise": "not what torch.save writes", "a program": "not what torch.save writes"}


@pytest.mark.parametrize("what", FOREIGN)
def test_any_other_file_is_one_line_and_nothing_in_it_runs(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FOREIGN[what](tmp_path / "ckpt.pt")
    code, err = called(capsys, "import", "ckpt.pt", "--out", "run")
    assert code == 2 and err.count("\n") == 1 and "ckpt.pt" in err, err
    assert "mmap" not in err and SAYS.get(what, "") in err
    assert not (tmp_path / "ran").exists() and not (tmp_path / "run").exists()


def test_what_nanogpt_has_not_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model("llama-tied").save_pretrained(tmp_path / "theirs")
    assert called(capsys, "import", tmp_path / "theirs", "--out", tmp_path / "run")[0] == 0
    words = ("export", "--run", tmp_path / "run", "--format", "nanogpt", "--out", tmp_path / "out")
    code, err = called(capsys, *words)
    assert code == 2 and "position_encoding=rope" in err and "ffn_type=swiglu" in err
    assert not (tmp_path / "out").exists()


def test_older_files_of_hugging_face_come_in_by_import_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = model("gpt2")
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs/model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "theirs/pytorch_model.bin")
    code, err = called(capsys, "plan", f"--init_from={tmp_path / 'theirs'}")
    assert code == 0, err
    code, err = called(capsys, "import", tmp_path / "theirs", "--out", tmp_path / "run")
    assert code == 0, err
    ours = load_model(read_weights(tmp_path / "run"), "cpu").eval()
    assert (logits(ours, some_ids()) - logits(theirs, some_ids())).abs().max() <= 1e-4


def test_a_model_without_biases_is_nanogpts_whatever_its_norms_are_called() -> None:
    sizes = ModelShape(n_layer=1, n_head=2, n_embd=16, block_size=8, vocab_size=32, ffn_dim=64, bias=False)
    found = []
    for normalization in ("layernorm", "layernorm_nobias"):
        shape = replace(sizes, normalization=normalization)
        weights = build(shape, seed=0).state_dict()
        found.append(as_checkpoint(weights, shape, iter=0, best_val_loss=None, dataset="none"))
    assert found[0]["model_args"] == found[1]["model_args"] and found[0]["model_args"]["bias"] is False
    assert found[0]["model"].keys() == found[1]["model"].keys()
    with pytest.raises(UserError, match="layernorm_nobias"):  # where linear layers have biases, nanoGPT's norms do too
        as_checkpoint({}, replace(shape, bias=True), iter=0, best_val_loss=None, dataset="none")
