"""nanoGPT's ckpt.pt: its weights and sizes, both ways.

The file is a pickle. It is read by ``gptmill import`` alone, with torch's reader for tensors and plain values only, which
refuses everything that could run code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gptmill.errors import UserError
from gptmill.interop.huggingface import GPT2_BLOCK, GPT2_OUTER, NO_WEIGHTS, Named
from gptmill.plain import open_plain
from gptmill.shapes import ModelShape

SIZES = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")  # of model_args, which names them as we do
ZIP = b"PK\x03\x04"  # an archive begins with it
WRAPPED = re.compile(r"^(_orig_mod\.|module\.)+")  # by torch.compile, by DDP
# what its model.py has built in
FIXED = {"weight_tying": True, "normalization": "layernorm", "norm_eps": 1e-5, "norm_position": "pre", "qk_norm": False,
         "position_encoding": "learned_absolute", "ffn_type": "standard", "activation": "gelu", "sliding_window": 0}  # fmt: skip


def read_pickle(path: Path) -> dict[str, Any]:
    """The dict in a file that torch.save wrote: tensors, mapped into memory, and plain values.

    Raises:
        UserError: it is no such file, or holds objects of other kinds.
    """
    _check_head(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a file from elsewhere makes of the reader
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        says = [f"it names {named[1]}"] if named else str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{path}: not a file of tensors and plain values ({says[0]:.120}); nothing else is read, since it could run "
            f"code; where you trust it, save its state_dict alone with torch.save"
        ) from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds a {type(found).__name__}, not the dict that a trainer saves")
    return found


def _check_head(path: Path) -> None:
    """Raise UserError for what torch.save cannot have written: mapping it would fail with a sentence about mapping."""
    try:
        with open_plain(path) as file:
            head = file.read(len(ZIP))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise UserError(f"{path}: an empty file; copy or download it again")
    if head != ZIP:
        raise UserError(
            f"{path}: not what torch.save writes since PyTorch 1.6; where it is older, load it there and save it again; "
            f"a .safetensors file is read with the config.json beside it: name their folder"
        )


def shape_of(found: Mapping[str, Any], path: Path) -> ModelShape:
    """The shape of the model in a nanoGPT checkpoint.

    Raises:
        UserError: it is none.
    """
    sizes = found.get("model_args")
    weights = found.get("model")
    if not isinstance(sizes, dict) or not isinstance(weights, dict):
        raise UserError(f"{path}: not a checkpoint of nanoGPT: it has no model and model_args")
    if wrong := [key for key in SIZES if type(sizes.get(key)) is not int or sizes[key] < 1]:
        raise UserError(
            f"{path}: model_args: {wrong[0]}={sizes.get(wrong[0])!r:.40}: must be a whole number, at least 1"
        )
    bias = sizes.get("bias", True) is True
    return ModelShape(**{key: sizes[key] for key in SIZES}, ffn_dim=4 * sizes["n_embd"], bias=bias)


def weights_of(found: Mapping[str, Any]) -> Named:
    """Its weights under our names; ours are its matrices as they are."""
    for full, weight in found["model"].items():
        name = WRAPPED.sub("", str(full)).removeprefix("transformer.")
        block = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", name)
        if not isinstance(weight, Tensor) or name.endswith(NO_WEIGHTS):
            continue
        if name in GPT2_OUTER:
            yield GPT2_OUTER[name], weight
        elif block and block[2] in GPT2_BLOCK:
            yield f"blocks.{block[1]}.{GPT2_BLOCK[block[2]]}.{block[3]}", weight
        else:
            raise UserError(f"{full:.80}: a weight that nanoGPT's model does not have")


def best_loss(found: Mapping[str, Any]) -> float | None:
    """The validation loss it records [nats/token], if it is a number."""
    loss = found.get("best_val_loss")
    number = float(loss) if isinstance(loss, int | float | Tensor) and torch.as_tensor(loss).numel() == 1 else math.inf
    return number if math.isfinite(number) and number < 1e9 else None


def as_checkpoint(
    ours: Mapping[str, Tensor], shape: ModelShape, *, iter: int, best_val_loss: float | None, dataset: str
) -> dict[str, Any]:
    """What nanoGPT's sample.py loads: weights and sizes. There are no moments in it, so its train.py cannot resume from it.

    Raises:
        UserError: a part of the model that nanoGPT has not; names it.
    """
    if not shape.bias and shape.normalization == "layernorm_nobias":
        shape = replace(shape, normalization="layernorm")  # the same, where nothing has a bias
    wanted = {**FIXED, "n_kv_head": shape.n_head, "ffn_dim": 4 * shape.n_embd}
    if other := [f"{key}={getattr(shape, key)}" for key, value in wanted.items() if getattr(shape, key) != value]:
        raise UserError(
            f"--format nanogpt: {', '.join(other)}: nanoGPT's model has no such part; try --format huggingface"
        )
    sizes = {key: getattr(shape, key) for key in (*SIZES, "bias", "dropout")}
    return {
        "model": dict(_theirs(ours)),
        "model_args": sizes,
        "iter_num": iter,
        "best_val_loss": torch.tensor(math.inf if best_val_loss is None else best_val_loss),
        "config": {**sizes, "dataset": dataset},
    }


def _theirs(ours: Mapping[str, Tensor]) -> Named:
    outer = {ours_: theirs for theirs, ours_ in GPT2_OUTER.items()}
    block = {ours_: theirs for theirs, ours_ in GPT2_BLOCK.items()}
    for name, weight in ours.items():
        if found := re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name):
            yield f"transformer.h.{found[1]}.{block[found[2]]}.{found[3]}", weight
        else:
            yield name if name.startswith("lm_head") else f"transformer.{outer[name]}", weight
    yield "lm_head.weight", ours["wte.weight"]  # tied: their model saves it under both names
