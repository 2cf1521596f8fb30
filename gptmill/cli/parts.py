"""The parts of a run: those that a person wrote outside gptmill (``--import MODULE``, only ever from the command line,
never from a file), and the model and optimizer that a plan asks for.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import Parameter

from gptmill.config.schema import Config
from gptmill.errors import UserError
from gptmill.plan.plan import make_plan
from gptmill.plan.types import covers
from gptmill.shapes import Counts, ModelShape

if TYPE_CHECKING:
    from torch import nn

    from gptmill.config.resolve import Resolved
    from gptmill.parallel.single import Single
    from gptmill.plan.types import DataFacts, Machine, Plan
    from gptmill.train.state import TrainState

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


def trace_model(shape: ModelShape) -> Counts:
    """Parameters and FLOPs of parts without a formula; imports torch when it is needed."""
    from gptmill.model.trace import trace

    return trace(shape)


def settle(resolved: Resolved, config: Config, data: DataFacts | None, machine: Machine, world_size: int) -> Plan:
    """The plan of what a command line asks for.

    Args:
        config: of ``resolved``, or with what preparing the data will choose.
    """
    return make_plan(
        config,
        data=data,
        machine=machine,
        world_size=world_size,
        origins=resolved.origins,
        trace=trace_model,
        weights=resolved.weights,
    )


@lru_cache(maxsize=16)
def trace_held(shape: ModelShape) -> int:
    """Bytes that parts without a formula hold for backward of one sequence in float32; imports torch when it is needed."""
    from gptmill.model.trace import trace_held as held

    return held(shape)


def freeze(model: nn.Module, plan: Plan) -> None:
    """Have no gradient computed for the weights that are to stay as they are; the optimizer then keeps nothing of them.

    Raises:
        UserError: a pattern covers nothing; a model of parts that the plan has formulas for was looked at before.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in plan.freeze:
        if not any(covers((pattern,), name) for name in names):
            raise UserError(f"freeze: no weight is called {pattern}; weights: {', '.join(names[:4])}, ...")
    for name, weight in model.named_parameters():
        weight.requires_grad_(not covers(plan.freeze, name))


def new_state(plan: Plan, engine: Single | None = None) -> TrainState:
    """Weights, optimizer and scaler as they are before the first step, on the plan's device.

    Args:
        engine: decides what of them is kept in this process; None = everything.
    """
    import torch

    from gptmill.model.gpt import build
    from gptmill.optim.optimizers import OPTIMIZERS
    from gptmill.optim.pruning.pruner import Pruner
    from gptmill.parallel.launch import Place, ask_for_determinism
    from gptmill.parallel.single import Single
    from gptmill.train.device import keep_freed_memory
    from gptmill.train.state import TrainState

    keep_freed_memory()
    torch.set_float32_matmul_precision(plan.matmul_precision)
    if plan.deterministic:
        ask_for_determinism()
    model = build(plan.shape, seed=plan.seed, device=plan.device)
    freeze(model, plan)
    engine = engine or Single(Place())
    engine.shard(model, plan)
    scaler = torch.amp.GradScaler(plan.device.split(":")[0]) if plan.dtype == "float16" else None
    optimizer = engine.share_out(OPTIMIZERS[plan.optimizer](model, plan))
    pruner = Pruner(model, optimizer, plan) if plan.pruning_method != "none" else None
    return TrainState(model, optimizer, scaler, pruner)
