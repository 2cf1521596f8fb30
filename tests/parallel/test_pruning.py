"""Several processes prune what one would: one threshold over the weights that all of them have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.cli.run import SMALL, gptmill, prepare_tiny
from tests.parallel.test_processes import ended, start

WORDS = [
    *SMALL,
    *("--gradient_accumulation_steps=2", "--dtype=float32", "--pruning_method=gradient_movement"),
    *("--penalty_type=neg_entropy", "--penalty_weight=0.1"),  # whose parts are averaged over both
    *("--target_sparsity=0.6", "--pruning_warmup=4", "--pruning_interval=2", "--pruning_ramp_end=12"),
]


def test_two_processes_that_share_moments_prune_as_one_and_one_goes_on_with_their_masks(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    straight = gptmill(tmp_path, "train", *WORDS, "--out_dir=one", "--json").json()
    done = ended(
        start(tmp_path, "gptmill", "train", *WORDS, "--out_dir=two", "--strategy=zero1", "--max_iters=10", "--json")
    )
    half = done.json()
    assert half["pruning"]["pruned"] == round(0.6 * 6 / 8 * 6144)
    told, shared = ([json.loads(line) for line in (tmp_path / run / "metrics.jsonl").open()] for run in ("one", "two"))
    for part in ("loss", "ce_loss", "penalty", "avg_max_prob"):
        mine, others = (
            [line[part] for line in lines if line["event"] == "step_done" and line["iter"] <= 5]
            for lines in (told, shared)
        )
        assert len(mine) == 5 and others == pytest.approx(mine, rel=1e-4), part
    alone = next(line["pruning"]["layers"] for line in told if line.get("iter") == 10 and "pruning" in line)
    for layer, share in half["pruning"]["layers"].items():  # sums in another order may swap two that are nearly equal
        assert abs(share - alone[layer]) < 0.01, layer
    resumed = gptmill(tmp_path, "train", "--resume", "--out_dir=two", "--max_iters=20", "--strategy=none", "--json")
    result = resumed.json()
    assert result["pruning"]["pruned"] == straight["pruning"]["pruned"] == round(0.6 * 6144)
    one, two = (load_file(tmp_path / run / "best" / "model.safetensors") for run in ("one", "two"))
    same = torch.cat([((one[name] == 0) == (two[name] == 0)).flatten() for name in result["pruning"]["layers"]])
    assert same.float().mean() > 0.99
