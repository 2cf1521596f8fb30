"""A trained model out of a run folder. Torch is imported only for the model itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from gptmill.cli.say import say
from gptmill.errors import CheckpointError
from gptmill.shapes import ModelShape
from gptmill.train import manifest, retention

if TYPE_CHECKING:
    from gptmill.model.gpt import GPT


@dataclass(frozen=True)
class Weights:
    """Args: data: a safetensors file, proven to be what was saved; None where the checkpoint is one of shards."""

    path: Path
    step: int
    shape: ModelShape
    data: bytes | None


def read_weights(run_dir: Path) -> Weights:
    """The run's best checkpoint, or its newest good one where no best is marked or it is damaged; says which then.

    Raises:
        CheckpointError: there is none, or every one is damaged.
    """
    problems: list[str] = []
    for path in sorted(manifest.steps(run_dir), key=lambda folder: (retention.is_best(run_dir, folder), folder))[::-1]:
        try:
            found = manifest.read_manifest(path)
            weights = Weights(path, found.iter, _shape(path, found), _proven(path, found))
        except CheckpointError as error:  # damaged, or retired by the run this moment
            problems += error.problems
            continue
        say(*(f"{problem}; sampling from {path.name} instead" for problem in problems))
        return weights
    raise CheckpointError(*problems, f"{run_dir}: no usable checkpoint to sample from; train it, or name another run")


def _proven(path: Path, found: manifest.Manifest) -> bytes | None:
    if manifest.is_whole(found):
        return manifest.read_member(path, manifest.WEIGHTS, found)
    if problems := manifest.verify(path):
        raise CheckpointError(*problems)
    return None


def _shape(path: Path, found: manifest.Manifest) -> ModelShape:
    known = {field.name for field in fields(ModelShape)}
    try:
        return ModelShape(**{key: value for key, value in found.facts["must_match"].items() if key in known})
    except (KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{path}: does not say what shape its model has") from None


def load_model(weights: Weights, device: str) -> GPT:
    """Build the model and fill it.

    Raises:
        UserError: it has a part that is not registered; names --import.
        CheckpointError: the weights are not those of the model's parts.
    """
    import torch
    from safetensors.torch import load

    from gptmill.model.gpt import build

    model = build(weights.shape, seed=0, device=device)
    if weights.data is not None:
        saved = load(weights.data)
    else:
        from gptmill.train.shards import read_whole

        saved = read_whole(weights.path, {name for name, _ in model.named_parameters()})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in saved or saved[name].shape != parameter.shape:
                raise CheckpointError(
                    f"{weights.path}: {name} is not as the model's parts want it; has an imported part changed since?"
                )
            parameter.copy_(saved[name])
    return model
