"""Checkpoints that several processes write together, each its share: PyTorch's DCP, in safetensors files.

DCP's own format keeps a pickle beside the tensors, which would execute when read; its safetensors writer needs none. Its
reader takes files of shares and whole ones alike, and gives each process what that one asks for.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, distributed
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from gptmill.errors import CheckpointError
from gptmill.optim.pruning.pruner import PREFIX
from gptmill.train.capture import Capture, NotFinite, capture, refuse_unless_finite
from gptmill.train.members import restore_pruning
from gptmill.train.sharing import updating
from gptmill.train.state import TrainState


class Company:
    """The processes that write a checkpoint together; every process of the group must make one, and take part in each save.

    They talk in a group of their own, so that they can do it while training talks in another.
    """

    def __init__(self) -> None:
        self._group = distributed.new_group(backend="gloo")

    def begin(self, now: bool = False) -> bool:
        """Whether a checkpoint that is due is written, as the first process has decided. Asked by the threads that train."""
        said = [now]
        distributed.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return said[0]

    def lead(self, folder: Path, taken: Capture) -> None:
        """In the first process: have all of them write into the folder.

        Raises:
            NotFinite: what one of them holds must not be saved.
            OSError: one of them could not write.
        """
        self._tell(str(folder))
        self._write(str(folder), taken)

    def call_off(self) -> None:
        """In the first process: nothing will be written after all."""
        self._tell(None)

    def follow(self, taken: Capture) -> None:
        """In any other process: write where the first one says. It also says what goes wrong."""
        folder = self._tell(None)
        if folder is not None:
            with suppress(NotFinite, OSError):
                self._write(folder, taken)

    def _tell(self, folder: str | None) -> str | None:
        said = [folder]
        distributed.broadcast_object_list(said, src=0, group=self._group, device=torch.device("cpu"))
        return said[0]

    def _write(self, folder: str, taken: Capture) -> None:
        strange: list[Any] = [None] * distributed.get_world_size(self._group)
        distributed.all_gather_object(strange, taken.not_finite(), group=self._group)
        refuse_unless_finite(list(dict.fromkeys(name for of_one in strange for name in of_one)))
        writer = HuggingFaceStorageWriter(folder, save_distributed=True)
        try:
            dcp.save(taken.tensors, storage_writer=writer, process_group=self._group)
        except CheckpointException as error:
            reasons = [reason for reason, _ in error.failures.values()]
            raise next((reason for reason in reasons if isinstance(reason, OSError)), reasons[0]) from error


def read_whole(folder: Path, wanted: set[str] | None = None) -> dict[str, Tensor]:
    """Tensors of a checkpoint, put together in this process's memory.

    Args:
        wanted: names; None = all there are.

    Raises:
        CheckpointError: the files are no safetensors, or parts are missing.
    """
    known = _listed(folder)
    tensors = {
        name: torch.empty(told.size, dtype=told.properties.dtype)
        for name, told in known.items()
        if wanted is None or name in wanted
    }
    _read(folder, tensors)
    return tensors


def read_into(folder: Path, state: TrainState) -> None:
    """Put a checkpoint into a state whose parameters or moments are shared out: every process reads its share.

    Raises:
        CheckpointError: the files are no safetensors, or hold other tensors than the state has.
    """
    known = _listed(folder)
    optimizer = updating(state.optimizer)
    optimizer.state.clear()
    weights = {name for name, _ in state.model.named_parameters()}
    if any(name not in weights and not name.startswith(PREFIX) for name in known):
        _begin_moments(optimizer)
    taken = capture(state)
    tensors = taken.weights | taken.moments
    other = sorted(name for name, tensor in tensors.items() if not _same_kind(known.get(name), tensor))
    if other:
        raise CheckpointError(f"{folder}: {len(other)} tensors do not fit the model, the first is {other[0]}")
    _read(folder, tensors)
    if state.pruner is not None:
        restore_pruning(folder, state, read_whole(folder, {name for name in known if name.startswith(PREFIX)}))


def _listed(folder: Path) -> dict[str, TensorStorageMetadata]:
    try:
        found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{folder}: not safetensors: {error}") from error
    return {name: told for name, told in found.items() if isinstance(told, TensorStorageMetadata)}


def _read(folder: Path, tensors: dict[str, Tensor]) -> None:
    try:
        with warnings.catch_warnings():  # that there is no group of processes: none is needed
            warnings.simplefilter("ignore", UserWarning)
            dcp.load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    except CheckpointException as error:
        reasons = [reason for reason, _ in error.failures.values()]
        raise CheckpointError(f"{folder}: cannot be read: {reasons[0]}") from error


def _begin_moments(optimizer: torch.optim.Optimizer) -> None:
    """Have the optimizer make its state, as it does in a first step; with a rate of 0 that moves no weight."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates):
        group["lr"] = rate


def _same_kind(told: TensorStorageMetadata | None, mine: Tensor) -> bool:
    return told is not None and told.size == mine.shape and told.properties.dtype == mine.dtype
