"""What a run knows before its first step: the device, its peak, and what a token costs on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gptmill
from gptmill.config.schema import Config
from gptmill.plan.devices import peak_flops
from gptmill.plan.flops import Parts, has_closed_form, parts
from gptmill.plan.types import Plan
from gptmill.train.sharing import updating
from gptmill.train.state import TrainState

PARALLELISM = {"none": "none", "ddp": "DDP", "zero1": "ZeRO-1", "fsdp": "FSDP"}  # by strategy


def device_peak(plan: Plan) -> float | None:
    """Dense peak of one device in the run's dtype [FLOP/s]; None when none is published."""
    return peak_flops(plan.device_name, plan.dtype, plan.matmul_precision)


def known_parts(plan: Plan) -> Parts | None:
    """Where a token's FLOP go; None when a part has no formulas, because it came from outside."""
    return parts(plan.shape) if has_closed_form(plan.shape) else None


def layer_flops(plan: Plan) -> tuple[int, int] | tuple[None, None]:
    """Forward FLOP of attention and of the feed-forward, of one layer and one sequence."""
    cost = known_parts(plan)
    if cost is None:
        return None, None
    L, T = plan.shape.n_layer, plan.shape.block_size
    return (cost.projections + cost.scores) // L * T, cost.feed_forward // L * T


def utilization(device: str) -> Callable[[], float | None] | None:
    """A question to NVML: percent of the last second in which the GPU ran any kernel. None without a GPU or its package."""
    if not device.startswith("cuda"):
        return None
    import torch

    def ask() -> float | None:
        try:
            return float(torch.cuda.utilization(device))
        except Exception:  # NVML has errors of its own; one look that fails must not end a run
            return None

    return None if ask() is None else ask


def startup_info(plan: Plan, config: Config, state: TrainState) -> dict[str, Any]:
    """What the console's report and the JSON log say of a run before its first step."""
    weights = list(state.model.parameters())
    cost, peak = known_parts(plan), device_peak(plan)
    gpu = plan.device.startswith("cuda")
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "model": {
            "total_params": plan.params,
            "trainable_params": sum(weight.numel() for weight in weights if weight.requires_grad),
            "non_embedding_params": plan.params_non_embedding,
        },
        "optimizer": {
            "type": type(updating(state.optimizer)).__name__,
            "param_groups": len(state.optimizer.param_groups),
        },
        "config": settled(plan, config),
        "hardware": {
            "gpu_name": plan.device_name,
            "num_gpus": plan.world_size,
            "gpu_memory_gb": plan.device_memory / 1e9 if gpu and plan.device_memory else None,
            "precision": plan.dtype,
            "parallelism": PARALLELISM[plan.strategy],
        },
        "performance": {
            "hardware_peak_tflops": None if peak is None else peak * plan.world_size / 1e12,
            "flops_per_token": plan.flops_per_token,
            "attention_to_ffn_ratio": None if cost is None else cost.attention_to_ffn(causal=False),
            "attention_to_ffn_ratio_causal": None if cost is None else cost.attention_to_ffn(causal=True),
            "expected_tokens_per_sec": None if peak is None else 0.5 * peak * plan.world_size / plan.flops_per_token,
        },
    }


def settled(plan: Plan, config: Config) -> dict[str, Any]:
    """Every config key, with the value that the plan settled on where it did."""
    return {
        **config.model_dump(),
        **{k: v for k, v in {**vars(plan), **vars(plan.shape)}.items() if k in Config.model_fields},
    }


def metadata(plan: Plan) -> dict[str, Any]:
    return {
        "gptmill": gptmill.__version__,
        "architecture": plan.architecture,
        "world_size": plan.world_size,
        "device": plan.device,
        "dtype": plan.dtype,
        "compile": plan.compile,
        "seed": plan.seed,
        "dataset": plan.dataset,
        "tokens_per_iter": plan.tokens_per_iter,
        "log_interval": plan.log_interval,
    }
