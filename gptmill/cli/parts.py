"""The parts of a run: the model and the optimizer that a plan asks for."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

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
    from gptmill.optim.eager import without_compiler
    from gptmill.optim.optimizers import OPTIMIZERS
    from gptmill.optim.pruning.pruner import Pruner
    from gptmill.parallel.launch import Place, ask_for_determinism
    from gptmill.parallel.single import Single
    from gptmill.train.device import keep_freed_memory
    from gptmill.train.state import TrainState

    if plan.keep_memory:
        keep_freed_memory()
    if not plan.compile:
        without_compiler()
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
