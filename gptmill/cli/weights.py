"""A trained model out of a run folder. Torch is imported only for the model itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from gptmill.cli.say import say
from gptmill.config.rules.limits import LARGEST
from gptmill.errors import CheckpointError
from gptmill.shapes import ModelShape
from gptmill.train import manifest, retention
from gptmill.train.proven import Held, read_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gptmill.model.gpt import GPT


@dataclass(frozen=True)
class Weights:
    """
    Args:
        data: proven to be what was saved; whoever makes tensors of them takes them out, so that they are there once. None
            where the checkpoint is one of shards.
    """

    path: Path
    step: int
    shape: ModelShape
    data: dict[str, Held] | None


def read_weights(run_dir: Path) -> Weights:
    """The run's best checkpoint, or its newest good one where no best is marked or it is damaged; says which then.

    Raises:
        CheckpointError: there is none, or every one is damaged.
    """
    problems: list[str] = []
    for path in best_first(run_dir):
        try:
            found = manifest.read_manifest(path)
            weights = Weights(path, found.iter, shape_in(path, found), _proven(path, found))
        except CheckpointError as error:  # damaged, or retired by the run this moment
            problems += error.problems
            continue
        say(*(f"{problem}; taking {path.name} instead" for problem in problems))
        return weights
    raise CheckpointError(*problems, f"{run_dir}: no usable checkpoint; train it, or name another run")


def best_first(run_dir: Path) -> list[Path]:
    """Every checkpoint, good or not: the best, then the others from the newest on."""
    return sorted(manifest.steps(run_dir), key=lambda folder: (retention.is_best(run_dir, folder), folder))[::-1]


def _proven(path: Path, found: manifest.Manifest) -> dict[str, Held] | None:
    if manifest.is_whole(found):
        return read_tensors(path, manifest.WEIGHTS, found)
    if problems := manifest.verify(path):
        raise CheckpointError(*problems)
    return None


def shape_in(path: Path, found: manifest.Manifest | None = None) -> ModelShape:
    """The recorded shape. What a manifest says may be anyone's: believed is only what a config could have asked for.

    Args:
        found: the checkpoint's manifest, where it was read already.
    """
    found = found or manifest.read_manifest(path)
    known = {field.name for field in fields(ModelShape)}
    try:
        shape = ModelShape(**{key: value for key, value in found.facts["must_match"].items() if key in known})
        possible = is_possible(shape)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):
        possible = False
    if not possible:
        raise CheckpointError(f"{path}: does not say what shape its model has")
    return shape


def is_possible(shape: ModelShape) -> bool:
    """Whether every value is one that a config could have asked for."""
    for name, usual in vars(ModelShape()).items():
        value, kind = getattr(shape, name), type(usual)
        if type(value) is not kind:
            return False
        if kind is int and not (0 if name == "sliding_window" else 1) <= value <= LARGEST[name]:
            return False
        if kind is float and not (math.isfinite(value) and value >= 0):
            return False
    return shape.n_embd % shape.n_head == 0 and shape.n_head % shape.n_kv_head == 0


def load_model(weights: Weights, device: str) -> GPT:
    """Build the model and fill it.

    Raises:
        UserError: it has a part that is not registered; names --import.
        CheckpointError: the weights are not those of the model's parts.
    """
    import torch

    from gptmill.model.gpt import build
    from gptmill.model.tables import fill_tables

    expected = _sizes(weights.shape)
    saved = tensors_in(weights, set(expected))
    for name, size in expected.items():
        if name not in saved or saved[name].shape != size:
            raise CheckpointError(
                f"{weights.path}: {name} is not as the model's parts want it; has an imported part changed since?"
            )
    model = build(weights.shape, seed=None, device=device)
    fill_tables(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(saved.pop(name))  # and let go of it: what is held shrinks as the model grows
    return model


def _sizes(shape: ModelShape) -> dict[str, torch.Size]:
    """Of every weight, before anything is allocated."""
    import torch

    from gptmill.model.gpt import GPT

    with torch.device("meta"):
        return {name: weight.shape for name, weight in GPT(shape).named_parameters()}


def tensors_in(weights: Weights, names: set[str] | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint, which is theirs from then on.

    Args:
        names: of those wanted; None = of all weights of its shape.
    """
    if weights.data is None:
        from gptmill.train.shards import read_whole

        return read_whole(weights.path, names if names is not None else set(_sizes(weights.shape)))
    tensors = {}
    while weights.data:
        name, held = weights.data.popitem()
        tensors[name] = held.tensor()
    return tensors
