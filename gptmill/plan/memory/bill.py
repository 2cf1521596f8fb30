"""The bill: what one device holds at the worst moment of a step, by what it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from gptmill.plan.memory.around import context_of, host_of, overhead_of
from gptmill.plan.memory.network import has_formula, play
from gptmill.plan.memory.setting import Setting, with_layers
from gptmill.plan.optimizer import state_bytes
from gptmill.plan.pruning import kept_bytes
from gptmill.plan.types import Plan
from gptmill.shapes import ModelShape

PLAYED = 32  # layers; beyond, each one more adds what the last one did


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the worst moment of a step; the parts add up to ``peak``.

    Args:
        weights: parameters, and the tables that are not trained.
        gradients: those that exist at that moment.
        optimizer: its states, and masks and scores of a run that prunes.
        activations: what backward needs, what it makes on its way, and copies of weights for matmuls.
        logits: the loss's, where the worst moment lies in it.
        overhead: libraries' workspaces, and what the allocator holds without use.
        context: held before there is any tensor: CUDA's context, or Python and its libraries.
        moment: 'forward and backward' or 'update'.
        host: of this process in the host's memory, at its own worst moment.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    overhead: int
    context: int
    moment: str
    host: int

    @property
    def peak(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.overhead


@lru_cache(maxsize=4096)
def micro_step(s: Setting, accumulated: bool) -> tuple[int, int, int]:
    """Bytes at the peak of one micro-step: all, the gradients and the logits among them.

    Args:
        accumulated: gradients of earlier micro-steps exist; they are not counted here.
    """
    more = s.shape.n_layer - PLAYED
    if more <= 0:
        tape = play(s, accumulated)
        return tape.peak, *tape.at_peak
    deep, deeper = (micro_step(with_layers(s, n), accumulated) for n in (PLAYED - 1, PLAYED))
    peak, gradients, logits = (b + more * (b - a) for a, b in zip(deep, deeper))
    return peak, gradients, logits


def memory_of(plan: Plan, trace: Callable[[ModelShape], int] | None = None) -> Memory:
    """What ``plan`` takes on each of its devices.

    Args:
        trace: bytes that a shape without a formula (``has_formula``) holds for backward of one sequence in float32.

    Several devices share out nothing under ``strategy`` ddp, the optimizer's states under zero1, and under fsdp those, the
    gradients and the weights.

    Source: Rajbhandari et al. 2020, ZeRO, arXiv:1910.02054, section 5, with float32 weights and gradients.
    """
    width, device = 4 if plan.dtype == "float32" else 2, plan.device.split(":")[0]
    s = Setting(plan.shape, plan.batch_size, width, device, plan.compile)
    if not has_formula(plan.shape):
        assert trace, f"no formula and no trace for {plan.shape}"
        heads = 1 if plan.shape.weight_tying else 2
        s = replace(s, traced=(trace(plan.shape), plan.params - heads * plan.shape.vocab_size * plan.shape.n_embd))
    # DistributedDataParallel's buckets keep room for all gradients from the first step on
    accumulated = plan.micro_steps > 1 or plan.strategy in ("ddp", "zero1")
    peak, made, logits = micro_step(s, accumulated)
    states, weights, gathered = state_bytes(plan), 4 * plan.params, 0
    if plan.strategy in ("zero1", "fsdp"):
        states = -(-states // plan.world_size)
    kept_up = weights - 4 * plan.frozen_params  # gradients of what is trained
    gradients = made + (kept_up if accumulated else 0)
    if plan.strategy == "fsdp":
        gathered = 2 * 4 * gathered_at_once(plan)  # weights, and gradients until they are exchanged
        gradients = kept_up = -(-kept_up // plan.world_size)
        weights = -(-weights // plan.world_size)
    through = gradients + peak - made + gathered
    moment = "forward and backward" if through >= kept_up else "update"
    if moment == "update":
        gradients, through, logits = kept_up, kept_up, 0
    weights += 4 * tables(plan.shape)
    tensors, kept = weights + states + through, kept_bytes(plan)
    return Memory(
        weights=weights,
        gradients=gradients,
        optimizer=states + kept,
        activations=through - gradients - logits,
        logits=logits,
        overhead=overhead_of(s, tensors, plan),
        context=context_of(s.device),
        moment=moment,
        host=host_of(plan, s, tensors, kept),
    )


def tables(shape: ModelShape) -> int:
    """Numbers that a model holds beside its parameters: masks of the manual kernel, one a layer, and positions'."""
    T = shape.block_size
    masks = shape.n_layer * T * T if shape.attention_backend == "manual" else 0
    positions = {"sinusoidal": T * shape.n_embd, "rope": T * shape.head_dim * 2}
    return masks + positions.get(shape.position_encoding, 0)


def gathered_at_once(plan: Plan) -> int:
    """Parameters that FSDP holds whole at the worst moment.

    What is outside of all blocks stays from the first layer to the last; of the blocks two at a time are there, the one
    that computes and the one that is fetched meanwhile. Blocks too small for a unit of their own stay as well.
    """
    shape = plan.shape
    outside = shape.vocab_size * shape.n_embd * (1 if shape.weight_tying else 2)
    block = (plan.params - outside) // shape.n_layer
    return plan.params if block < plan.fsdp_min_num_params else outside + min(2, shape.n_layer) * block
