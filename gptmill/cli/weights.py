"""A trained model out of a run folder."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch
from safetensors.torch import load

from gptmill.cli.say import say
from gptmill.errors import CheckpointError
from gptmill.model.gpt import GPT, build
from gptmill.shapes import ModelShape
from gptmill.train import manifest, retention


def load_model(run_dir: Path, device: str) -> GPT:
    """The run's best checkpoint, or its newest good one where no best is marked or it is damaged.

    Raises:
        CheckpointError: there is none, or every one is damaged.
    """
    for path in sorted(manifest.steps(run_dir), key=lambda folder: (retention.is_best(run_dir, folder), folder))[::-1]:
        try:
            found = manifest.read_manifest(path)
            weights = load(manifest.read_member(path, "model.safetensors", found))
            break
        except CheckpointError as error:  # damaged, or retired by the run this moment
            say(*error.problems)
    else:
        raise CheckpointError(f"{run_dir}: no usable checkpoint to sample from")
    known = {field.name for field in fields(ModelShape)}
    shape = ModelShape(**{key: value for key, value in found.facts["must_match"].items() if key in known})
    model = build(shape, seed=0, device=device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    return model
