"""Hugging Face's Trainer on a damaged checkpoint: resumed one step further, against the same step undisturbed."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.reliability.corruption import files
from benchmarks.reliability.runs import Workshop

if TYPE_CHECKING:
    from torch import Tensor

SHARE = 0.1  # of the trials of the others: each one builds a model and takes a step


def damaged(shop: Workshop) -> dict[str, dict[str, int]]:
    """For each kind of damage: how often it was done, and how often the run went on to other weights.

    Raises:
        ImportError: it is not installed, or lacks a package.
    """
    import torch

    from benchmarks.reliability.peers import harms

    folder = shop.folder / "trainer"
    train(folder, 10)
    expected = train(folder, 11, folder / "checkpoint-10")
    rows = {}
    for name, (harm, often) in harms(folder / "checkpoint-5").items():
        wrong, n = 0, shop.count(round(often * SHARE))
        for _ in range(n):
            path = shop.rng.choice([path for path in files(folder / "checkpoint-10") if path.suffix != ".bin"])
            whole = path.read_bytes()
            harm(path, shop.rng)
            try:
                found = train(folder, 11, folder / "checkpoint-10")
                wrong += any(not torch.equal(found[key], tensor) for key, tensor in expected.items())
            except Exception:
                pass
            path.write_bytes(whole)
            shutil.rmtree(folder / "checkpoint-11", ignore_errors=True)
        rows[name] = {"damaged": n, "silently_wrong": wrong}
    return rows


def train(folder: Path, steps: int, resume: Path | None = None) -> dict[str, Tensor]:
    """Weights of a small GPT-2 after so many steps."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

    set_seed(1)
    tokens = torch.arange(64 * 17).reshape(64, 17) * 7 % 101
    examples: list[dict[str, Any]] = [{"input_ids": row, "labels": row} for row in tokens]
    model = GPT2LMHeadModel(GPT2Config(vocab_size=101, n_positions=32, n_embd=32, n_layer=2, n_head=2))
    settings = TrainingArguments(
        output_dir=str(folder), max_steps=steps, save_steps=5, per_device_train_batch_size=4, lr_scheduler_type="constant",
        report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        Trainer(model, settings, train_dataset=examples).train(resume_from_checkpoint=str(resume) if resume else None)
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
