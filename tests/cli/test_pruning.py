"""``gptmill train --pruning_method=...``: what is promised is in the files, and other programs find it there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from gptmill.model.gpt import GPT
from gptmill.shapes import ModelShape
from tests.cli.run import SMALL, gptmill, prepare_tiny

PRUNING = [
    *("--pruning_method=movement", "--target_sparsity=0.7", "--pruning_warmup=4", "--pruning_interval=3"),
    *("--pruning_ramp_end=14", "--dropout=0.1", "--dtype=float32"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pruning")
    prepare_tiny(folder)
    return folder


def steps(run: Path) -> list[dict[str, object]]:
    return [line for line in map(json.loads, (run / "metrics.jsonl").open()) if line["event"] == "step_done"]


def test_a_run_stopped_on_the_ramp_ends_with_the_bits_of_one_that_was_not(folder: Path) -> None:
    straight = gptmill(folder, "train", *SMALL, *PRUNING, "--out_dir=straight", "--json").json()
    half = gptmill(folder, "train", *SMALL, *PRUNING, "--out_dir=half", "--max_iters=10")
    assert half.code == 0 and "short of target_sparsity" in half.err, half.err
    again = gptmill(folder, "train", "--resume", "--out_dir=half", "--max_iters=20", "--json").json()
    assert again["weights_sha256"] == straight["weights_sha256"]
    for key in ("sparsity", "pruning", "best_val_loss"):
        assert again[key] == straight[key], key
    assert (folder / "half" / "best").resolve().name == "step_00000020"


def test_a_target_below_what_is_pruned_already_is_refused_and_one_that_can_be_met_is_met(folder: Path) -> None:
    assert gptmill(folder, "train", *SMALL, *PRUNING, "--out_dir=lower", "--max_iters=10").code == 0
    before = (folder / "lower" / "metrics.jsonl").read_bytes()
    for max_iters in ("10", "20"):  # a run that is complete, and one that goes on
        lower = ["train", "--resume", "--out_dir=lower", f"--max_iters={max_iters}", "--target_sparsity=0.3"]
        done = gptmill(folder, *lower)
        assert done.code == 2 and done.err.count("error: ") == 1, done.err
        assert "target_sparsity=0.3: in lower" in done.err and "2,150 of 6,144 weights are zero already" in done.err
    assert (folder / "lower" / "metrics.jsonl").read_bytes() == before
    assert "try target_sparsity=0.35 or more" in done.err
    met = gptmill(folder, *lower[:-1], "--target_sparsity=0.35", "--json").json()
    assert met["pruning"]["pruned"] == 2150 and met["pruning"]["complete"]
    dense = gptmill(folder, *lower[:-2], "--max_iters=30", "--pruning_method=none", "--json").json()
    assert (dense["sparsity"] is None and "pruning" not in dense) or dense["pruning"] is None


def test_the_sparsity_told_is_that_of_the_weights_in_the_file(folder: Path) -> None:
    done = gptmill(folder, "train", *SMALL, *PRUNING, "--out_dir=told")
    assert done.code == 0, done.err
    summary = json.loads((folder / "told" / "metrics.jsonl").read_text().splitlines()[-1])["summary"]
    weights = load_file(folder / "told" / "best" / "model.safetensors")
    layers = {name: int((weights[name] == 0).sum()) / weights[name].numel() for name in summary["pruning"]["layers"]}
    assert set(layers) == {name for name in weights if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))}
    assert summary["pruning"]["layers"] == layers and summary["pruning"]["complete"]
    pruned = sum(int((weights[name] == 0).sum()) for name in layers)
    assert pruned == summary["pruning"]["pruned"] == round(0.7 * summary["pruning"]["prunable"])
    assert steps(folder / "told")[-1]["sparsity"] == summary["sparsity"] == pruned / summary["pruning"]["prunable"]
    assert f"sparsity             {summary['sparsity']:.2%}: {pruned:,} of 6,144 weights are zero" in done.err
    page = (folder / "told" / "report.html").read_text()
    assert (
        "share that is zero" in page
        and "Sparsity of 8 layers" in page
        and f"{layers['blocks.1.mlp.c_fc.weight']:.2%}" in page
    )


def test_hugging_faces_gpt2_with_these_weights_is_as_sparse_and_computes_the_same(folder: Path) -> None:
    words = [*SMALL, *PRUNING, "--bias", "--activation=gelu_tanh", "--out_dir=gpt2", "--json"]
    result = gptmill(folder, "train", *words).json()
    weights = load_file(folder / "gpt2" / "best" / "model.safetensors")
    shape = ModelShape(**json.loads((folder / "gpt2" / "plan.json").read_text())["shape"])
    config = GPT2Config(
        vocab_size=shape.vocab_size, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    theirs, ours = GPT2LMHeadModel(config).eval(), GPT(shape).eval()
    ours.load_state_dict({**weights, "lm_head.weight": weights["wte.weight"]})
    names = {"wte": "wte", "wpe": "position.wpe", "ln_f": "norm_f", "ln_1": "norm_1", "ln_2": "norm_2"}
    with torch.no_grad():
        for name, parameter in theirs.transformer.named_parameters():
            path = [names.get(part, part) for part in name.replace("h.", "blocks.", 1).split(".")]
            mine = weights[".".join(path)]
            parameter.copy_(mine.T if path[-2].startswith("c_") and mine.dim() == 2 else mine)
        matrices = [p for name, p in theirs.transformer.named_parameters() if ".c_" in name and p.dim() == 2]
        zeros = sum(int((p == 0).sum()) for p in matrices)
        tokens_BT = torch.arange(16).reshape(1, 16) % shape.vocab_size
        torch.testing.assert_close(ours(tokens_BT), theirs(tokens_BT).logits, rtol=1e-4, atol=1e-5)
    assert zeros == result["pruning"]["pruned"] == round(0.7 * sum(p.numel() for p in matrices))
