"""How long a step takes on a device that is not here: work over rates, with efficiencies fitted to published runs.

    micro-step = matmul FLOP / (peak x a) + attention FLOP / (peak x b) + bytes moved / bandwidth

``a`` and ``b`` belong to the chip, the bytes to the software. The four numbers were fitted to 86 speeds that llm-foundry
publishes for GPT-2's shape, 125M to 7B, contexts of 512 to 65,536 tokens, on 8 A100 or H100: median error 1.0%, 95% within 4%
(``python -m benchmarks.calibrate``; the speeds are in benchmarks/results/published_speed.csv). Of runs that were not fitted, TinyLlama
(24,000 tokens/s on an A100-40GB) was as fast as this gives, nanoGPT (4 days on 8 of them) 0.74 times: a forecast
carries an interval of that width.

Source: github.com/mosaicml/llm-foundry, scripts/train/benchmarking/README.md; Williams et al. 2009, "Roofline".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gptmill.plan.devices import device_of, peak_flops
from gptmill.plan.flops import FFN_MATRICES, has_closed_form, parts
from gptmill.plan.optimizer import state_bytes
from gptmill.plan.types import Plan
from gptmill.shapes import ModelShape

# passes over memory of one token, forward and backward, with numbers as wide as the matmuls'
LAYER_PASSES = 21.75  # over the residual stream and the hidden layer, per layer
VOCABULARY_PASSES = 25.4  # over a row of logits
# per parameter and step, besides the moments: gradient norm and clip, then weights and gradients read, weights written
OPTIMIZER_BYTES = 20
ACCUMULATE_BYTES = 14  # per parameter and micro-step: the copy in 16 bits, and adding to the gradient
FORWARD = 1 / 3  # of forward and backward
RECOMPUTING = 1.14  # times as long with activation checkpointing: the mean of seven of llm-foundry's runs with it

SMALL_WIDTH, SMALL_TOKENS = 768, 8192  # below, kernels wait for their launches, and nothing published tells how long


class Efficiency(NamedTuple):
    """Args: matmul, attention: share of the dense peak, attention's over the full square."""

    matmul: float
    attention: float


AMPERE, HOPPER = Efficiency(0.742, 0.520), Efficiency(0.585, 0.295)
# GPT-2 124M, 12 x 1,024 tokens, compiled, 29% of an A100's peak: github.com/karpathy/nanoGPT/issues/182
ADA = Efficiency(0.95, 0.95)
CALIBRATED = {  # and how many runs that rests on
    "A100-SXM4-80GB": (AMPERE, 35),
    "A100-SXM4-40GB": (AMPERE, 31),
    "H100 80GB HBM3": (HOPPER, 20),
    "GeForce RTX 4090": (ADA, 1),
}
# the same chip with other memory; all GeForce cards run 16-bit matmuls at half of what their tensor cores could
RELATED = {"H100": ("the H100", HOPPER), "H200": ("the H100", HOPPER), "GeForce RTX": ("the RTX 4090", ADA)}

WITHIN = (0.73, 1.25)  # of the forecast's speed, on a device with published runs
ONE_RUN = (0.65, 1.35)
UNKNOWN = (0.5, 1.5)  # on one without: between the worst and the best share of peak among those that have some
EAGER = 0.5  # the slow end without compiling: nanoGPT's readme has 250 ms against 135 ms
WAITING = 0.3  # the slow end where kernels are small


@dataclass(frozen=True)
class Pace:
    """How fast one device goes through the work, and how sure that is.

    Args:
        micro_step: forward and backward of one micro-batch [s].
        update: clipping and the optimizer's step [s].
        forward: of one evaluation batch [s].
        slowest, fastest: the interval, as factors of the speed.
        basis: 'measured', 'calibrated' or 'assumed'.
        because: what the numbers rest on, in one sentence.
    """

    micro_step: float
    update: float
    forward: float
    slowest: float
    fastest: float
    basis: str
    because: str


def pace_of(plan: Plan) -> Pace | None:
    """The pace on the plan's device; None where its peak or bandwidth is not known, or a part has no formula."""
    row = device_of(plan.device_name)
    peak = peak_flops(plan.device_name, plan.dtype, plan.matmul_precision)
    if row is None or peak is None or row.bandwidth is None or not has_closed_form(plan.shape):
        return None
    efficiency = CALIBRATED[row.name][0] if row.name in CALIBRATED else _kin(row.name)[1]
    tokens = plan.batch_size * plan.shape.block_size
    work = parts(plan.shape)
    matmul = work.projections + work.feed_forward + work.head
    flop_seconds = 3 * (matmul / efficiency.matmul + work.scores / efficiency.attention) / peak
    width = 4 if plan.dtype == "float32" else 2
    seconds = tokens * (flop_seconds + width * passes(plan.shape) / (row.bandwidth * 1e9))
    traffic = plan.params / (row.bandwidth * 1e9)
    slowest, fastest, doubts = _certainty(plan, row.name)
    return Pace(
        micro_step=seconds * (RECOMPUTING if plan.shape.activation_checkpointing else 1) + ACCUMULATE_BYTES * traffic,
        update=OPTIMIZER_BYTES * traffic + 2 * state_bytes(plan) / (row.bandwidth * 1e9),
        forward=FORWARD * seconds,
        slowest=slowest,
        fastest=fastest,
        basis="assumed" if doubts else "calibrated",
        because="; ".join(doubts) or _runs(row.name),
    )


def _certainty(plan: Plan, name: str) -> tuple[float, float, list[str]]:
    """The interval of the speed, and every reason why no published run stands for this one."""
    slowest, fastest = UNKNOWN if name not in CALIBRATED else ONE_RUN if CALIBRATED[name][1] == 1 else WITHIN
    doubts = []
    if name not in CALIBRATED:
        doubts.append(f"no published run on {name}: the efficiency of {_kin(name)[0]} is taken")
    if plan.shape.n_embd < SMALL_WIDTH or plan.batch_size * plan.shape.block_size < SMALL_TOKENS:
        slowest = min(slowest, WAITING)
        doubts.append("matmuls this small wait for their launches, which nothing published tells of")
    if plan.dtype == "float32" or plan.shape.attention_backend != "sdpa":
        slowest = min(slowest, UNKNOWN[0])
        doubts.append("published runs are in 16 bits with fused attention")
    if not plan.compile:
        slowest = min(slowest, EAGER)
        doubts.append("not compiled: nanoGPT took nearly twice as long so")
    return slowest, fastest, doubts


def _kin(name: str) -> tuple[str, Efficiency]:
    return next((found for start, found in RELATED.items() if name.startswith(start)), ("the A100", AMPERE))


def _runs(name: str) -> str:
    runs = CALIBRATED[name][1]
    return f"fitted to {runs} published run{'s' * (runs > 1)} on {name}"


def passes(shape: ModelShape) -> float:
    """Numbers read and written for one token, forward and backward, outside of matmuls."""
    hidden = shape.ffn_dim * FFN_MATRICES[shape.ffn_type] / 2
    return LAYER_PASSES * shape.n_layer * (shape.n_embd + hidden) + VOCABULARY_PASSES * shape.vocab_size
