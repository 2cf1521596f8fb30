"""Which files of a Hugging Face folder hold its weights. Torch-free."""

from __future__ import annotations

import json
from pathlib import Path

from gptmill.errors import UserError
from gptmill.plain import read_plain

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def model_files(folder: Path) -> list[Path]:
    """The safetensors files of a Hugging Face folder; none where it has no such file.

    Raises:
        UserError: its index names other files than ones beside it, or one that is missing.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        return []
    try:
        names = sorted(set(json.loads(read_plain(folder / INDEX))["weight_map"].values()))
        plain = all(Path(name).name == name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        plain = False
    if not plain:
        raise UserError(f"{folder / INDEX}: not an index of files beside it; copy or download it again")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UserError(f"{folder / missing[0]}: missing, and {INDEX} names it; copy or download it again")
    return [folder / name for name in names]
