"""Parts that a person wrote outside gptmill: ``--import MODULE``, only ever from the command line, never from a file."""

from __future__ import annotations

import importlib
import sys
import traceback
from dataclasses import replace
from typing import Annotated, Any, get_args

from cyclopts import Parameter

from gptmill.config.schema import Config
from gptmill.errors import UserError
from gptmill.shapes import ModelShape

TINY = ModelShape(n_layer=1, n_head=2, n_embd=16, block_size=8, vocab_size=32, ffn_dim=32)
LOOKED = "modules of this folder and installed ones can be named"
IMPORTED: list[str] = []  # modules, for the processes that this one starts
Import = Annotated[list[str] | None, Parameter(name="--import", negative="")]


def import_parts(modules: list[str] | None) -> dict[str, tuple[str, ...]]:
    """Import modules, which register their parts; also from the current folder.

    Returns:
        the names the schema does not list, by config key: what ``load`` should accept besides.

    Raises:
        UserError: no such module, or it fails while it is imported.
    """
    if not modules:
        return {}
    if "" not in sys.path:
        sys.path.insert(0, "")
    for name in modules:
        if name.endswith(".py") or not all(word.isidentifier() for word in name.split(".")):
            stem = name.removesuffix(".py").split("/")[-1]
            raise UserError(f"--import {name}: takes a module's name, not a file's; try --import {stem}")
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # whatever a module does when it is imported
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = "" if isinstance(error, ModuleNotFoundError) else f" ({place.filename}:{place.lineno})"
            says = str(error).split("\n")[0]
            raise UserError(f"--import {name}: {type(error).__name__}: {says}{where}; {LOOKED}") from None
        IMPORTED.append(name)

    from gptmill.model.feedforwards import ACTIVATIONS, FEEDFORWARDS
    from gptmill.model.kernels import ATTENTION
    from gptmill.model.norms import NORMS
    from gptmill.model.positions import POSITIONS
    from gptmill.optim.optimizers import OPTIMIZERS
    from gptmill.optim.schedules import SCHEDULES

    found = {}
    for registry in (NORMS, POSITIONS, FEEDFORWARDS, ACTIVATIONS, ATTENTION, OPTIMIZERS, SCHEDULES):
        listed = get_args(Config.model_fields[registry.kind].annotation)
        found[registry.kind] = tuple(name for name in registry if name not in listed)
        if registry in (NORMS, POSITIONS, FEEDFORWARDS, ACTIVATIONS, ATTENTION):
            for name in found[registry.kind]:
                _try_out(registry.kind, name)
    return found


def _try_out(kind: str, name: str) -> None:
    """Raise UserError when a small model with the part does not work: better here than an hour into a run."""
    from gptmill.model.probe import probe

    part: dict[str, Any] = {kind: name}
    try:
        probe(replace(TINY, **part))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if isinstance(error, UserError) else f" ({place.filename}:{place.lineno})"
        says = str(error).split("\n")[0]
        what = says if isinstance(error, UserError) else f"{type(error).__name__}: {says}{where}"
        raise UserError(f"--import: {kind}={name} fails in a small model: {what}") from None
