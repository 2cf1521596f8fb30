"""Tensors out of files, one at a time, and into a model: the host never holds much more than the model itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gptmill.errors import UserError
from gptmill.model.tables import fill_tables

BY_TOKEN = ("wte.weight", "lm_head.weight")  # a row an id
BY_POSITION = "position.wpe.weight"


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of safetensors files by name; each is read when it is asked for, and kept by nobody here.

    A file is opened anew for every tensor: what a mapping of it has touched counts as this process's memory until it is
    closed, and would add up to a second copy.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        from safetensors import SafetensorError, safe_open

        self._file_of: dict[str, Path] = {}
        for path in files:
            try:
                with safe_open(path, framework="pt") as opened:
                    self._file_of |= dict.fromkeys(opened.keys(), path)
            except (SafetensorError, OSError) as error:
                raise UserError(f"{path}: not safetensors ({error}); copy or download it again") from None

    def __getitem__(self, name: str) -> Tensor:
        from safetensors import safe_open

        with safe_open(self._file_of[name], framework="pt") as opened:
            tensor: Tensor = opened.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)


@torch.no_grad()
def fill(model: nn.Module, weights: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Copy weights into a model, of which each process may hold a share, and which may have a shorter context or more ids.

    Args:
        weights: by our names; read one after the other.
        where: they come from, for messages.

    Raises:
        UserError: a weight is missing, of another shape, or not one of the model's.
    """
    fill_tables(model)
    mine = dict(model.named_parameters())
    left = set(mine)
    try:
        for name, weight in weights:
            if name in mine:
                _put(mine[name], _fitting(name, weight, mine[name].shape))
                left.discard(name)
            elif name != "lm_head.weight":  # tied: the embedding's own
                raise UserError(f"{name}: the model has no such weight")
    except UserError as error:
        raise UserError(*(f"{where}: {problem}" for problem in error.problems)) from None
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise UserError(f"{where}: {min(left)}{more} missing; is the file whole?")


def _fitting(name: str, weight: Tensor, shape: torch.Size) -> Tensor:
    """The weight with the positions and ids that the model has.

    An id that nobody trained gets the mean of all rows: its logit is then their mean, and by Jensen's inequality n such
    ids beside V add at most log(1 + n / V) to the loss. Rows of zeros would have logits of 0, where GPT-2's are near -100.
    Source: Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models".
    """
    rows = shape[0] - len(weight)
    if name == BY_POSITION and rows < 0:
        weight = weight[: shape[0]]
    elif name in BY_TOKEN and rows > 0:
        weight = torch.cat((weight, weight.float().mean(0, keepdim=True).to(weight.dtype).expand(rows, -1)))
    if weight.shape != shape:
        raise UserError(f"{name} is {list(weight.shape)}; the model's is {list(shape)}")
    return weight


def _put(target: Tensor, weight: Tensor) -> None:
    if hasattr(target, "to_local"):  # FSDP: every process has read all of it, and keeps its share
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(target, DTensor)
        weight = weight.to(target.device, target.dtype)
        share = distribute_tensor(weight, target.device_mesh, target.placements, src_data_rank=None)
        target.to_local().copy_(share.to_local())
    else:
        target.copy_(weight)
