"""Put what a checkpoint holds back into a TrainState, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gptmill.errors import CheckpointError
from gptmill.optim.pruning.pruner import PREFIX
from gptmill.train import manifest as manifests
from gptmill.train.manifest import Manifest
from gptmill.train.members import restore_moments, restore_numbers, restore_pruning, restore_weights
from gptmill.train.proven import read_tensors
from gptmill.train.sharing import is_shared
from gptmill.train.state import TrainState


def load(path: Path, state: TrainState) -> None:
    """Put a checkpoint into a state built for the same shape, bit for bit. Param-group numbers stay the plan's.

    A state that several processes share takes its part of any checkpoint, and one that is not takes all of a shared one.

    Raises:
        CheckpointError: a file is missing or damaged, or holds other tensors than the model has.
    """
    manifest = manifests.read_manifest(path)
    if is_shared(state):
        from gptmill.train.shards import read_into

        read_into(path, state)
    else:
        weights, moments, pruning = _tensors(path, manifest, state.model)
        restore_weights(path, state.model, weights)
        restore_moments(path, state, moments)
        restore_pruning(path, state, pruning)
    restore_numbers(path, state, _numbers(path, manifest))


def weights_in(path: Path, manifest: Manifest, model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters out of a checkpoint, by name.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    if manifests.is_whole(manifest):
        return _parsed(path, manifests.WEIGHTS, manifest)
    from gptmill.train.shards import read_whole

    return read_whole(path, {name for name, _ in model.named_parameters()})


def _tensors(path: Path, manifest: Manifest, model: nn.Module) -> tuple[dict[str, Tensor], ...]:
    """Weights, moments, and what a run that prunes has besides."""
    if manifests.is_whole(manifest):
        pruning = _parsed(path, manifests.PRUNING, manifest) if manifests.PRUNING in manifest.files else {}
        return _parsed(path, manifests.WEIGHTS, manifest), _parsed(path, manifests.MOMENTS, manifest), pruning
    from gptmill.train.shards import read_whole

    found, names = read_whole(path), {name for name, _ in model.named_parameters()}
    weights = {name: found.pop(name) for name in names & found.keys()}
    pruning = {name: found.pop(name) for name in list(found) if name.startswith(PREFIX)}
    return weights, found, pruning


def _numbers(path: Path, manifest: Manifest) -> dict[str, Any]:
    try:
        return dict(json.loads(manifests.read_member(path, manifests.NUMBERS, manifest)))
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path / manifests.NUMBERS}: not the JSON object that a run saves") from error


def _parsed(path: Path, member: str, manifest: Manifest) -> dict[str, Tensor]:
    return {name: held.tensor() for name, held in read_tensors(path, member, manifest).items()}
