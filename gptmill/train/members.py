"""What a checkpoint's files hold of a TrainState, and how it gets back into one."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gptmill.errors import CheckpointError
from gptmill.optim.pruning.ramp import require_reachable
from gptmill.train.early_stop import EarlyStop
from gptmill.train.numbers import check_numbers
from gptmill.train.spikes import Recent
from gptmill.train.state import TrainState

HOLDERS = ("model", "optimizer", "scaler", "pruner")  # fields of TrainState that hold tensors, not numbers


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters by name on the CPU; tied ones appear once, under their first name."""
    return {name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()}


def numbers_of(state: TrainState) -> dict[str, Any]:
    """Every field of TrainState that is a plain number, and the scaler's."""
    numbers = {field.name: getattr(state, field.name) for field in fields(state) if field.name not in HOLDERS}
    numbers["early_stop"], numbers["recent"] = asdict(state.early_stop), asdict(state.recent)
    return {**numbers, "scaler": state.scaler.state_dict() if state.scaler is not None else None}


def restore_numbers(path: Path, state: TrainState, saved: dict[str, Any]) -> None:
    saved.setdefault("recent", asdict(Recent()))  # 0.1 had no guard with a memory
    if saved.keys() != numbers_of(state).keys():
        raise CheckpointError(
            f"{path / 'state.json'}: holds {', '.join(saved)}; expected {', '.join(numbers_of(state))}"
        )
    check_numbers(path, saved)
    scaler = saved.pop("scaler")
    state.early_stop, state.recent = EarlyStop(**saved.pop("early_stop")), Recent(**saved.pop("recent"))
    if state.scaler is not None and scaler:
        state.scaler.load_state_dict(scaler)
    for name, value in saved.items():
        setattr(state, name, value)
    if state.pruner is not None:
        state.pruner.recount()


def restore_weights(path: Path, model: nn.Module, saved: dict[str, Tensor]) -> None:
    mine = dict(model.named_parameters())
    other = sorted(name for name in saved.keys() | mine.keys() if not _same_kind(saved.get(name), mine.get(name)))
    if other:
        raise CheckpointError(f"{path}: {len(other)} tensors do not fit the model, the first is {other[0]}")
    with torch.no_grad():
        for name, weight in mine.items():
            weight.copy_(saved.pop(name))  # and let go of it: memory for two models is not needed


def _same_kind(saved: Tensor | None, mine: Tensor | None) -> bool:
    return saved is not None and mine is not None and saved.shape == mine.shape and saved.dtype == mine.dtype


def restore_moments(path: Path, state: TrainState, saved: dict[str, Tensor]) -> None:
    names = {weight: name for name, weight in state.model.named_parameters()}
    settled = state.optimizer.state_dict()
    ordered = [names[weight] for group in state.optimizer.param_groups for weight in group["params"]]
    position = {name: i for i, name in enumerate(ordered)}
    moments: dict[int, dict[str, Tensor]] = {}
    for full_name in list(saved):
        value = saved.pop(full_name)  # so that not all of them are in memory twice
        name, _, key = full_name.rpartition(".")
        if name not in position:
            raise CheckpointError(f"{path}: holds {full_name}, which this optimizer does not update")
        moments.setdefault(position[name], {})[key] = value.clone()  # views of the file are not aligned
    if moments and len(moments) != len(position):
        raise CheckpointError(f"{path}: holds the optimizer state of {len(moments)} of {len(position)} parameters")
    state.optimizer.load_state_dict({"state": moments, "param_groups": settled["param_groups"]})


def restore_pruning(path: Path, state: TrainState, saved: dict[str, Tensor]) -> None:
    """Masks, and what goes with them, where this run prunes.

    Raises:
        CheckpointError: they are of another model.
        UserError: more is pruned already than is asked for.
    """
    if state.pruner is None:
        return
    if strange := state.pruner.restore(saved):
        raise CheckpointError(f"{path}: {len(strange)} masks do not fit the model, the first is of {strange[0]}")
    state.pruner.recount()
    require_reachable(state.pruner.plan, path, state.pruner.n_pruned, state.pruner.n_prunable)


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over the sorted parameter names, each followed by its raw bytes: equal only for bit-equal weights."""
    return sha256_of(weights_of(model))


def sha256_of(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(weight.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
