"""``--import MODULE``: parts that a person wrote outside gptmill. Only ever from the command line, never from a file."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, get_args

from cyclopts import Parameter

from gptmill.config.schema import Config
from gptmill.errors import UserError

if TYPE_CHECKING:
    from gptmill.shapes import Counts, ModelShape

LOOKED = "modules of this folder and installed ones can be named"
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
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # whatever a module does when it is imported
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = "" if isinstance(error, ModuleNotFoundError) else f" ({place.filename}:{place.lineno})"
            says = str(error).split("\n")[0]
            raise UserError(f"--import {name}: {type(error).__name__}: {says}{where}; {LOOKED}") from None

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
    return found


def trace_model(shape: ModelShape) -> Counts:
    """Parameters and FLOPs of parts without a formula; imports torch when it is needed."""
    from gptmill.model.trace import trace

    return trace(shape)
