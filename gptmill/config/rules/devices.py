"""What a device, a strategy, an optimizer and pruning ask of each other."""

from __future__ import annotations

import re

from gptmill.config.coerce import choices
from gptmill.config.rules.broken import Broken
from gptmill.config.schema import Config


def device_is_known(c: Config) -> Broken | None:
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,4})?", c.device, re.ASCII):
        return None
    return Broken(("device",), "must be auto, cpu, cuda (a GPU), cuda:N or mps")


def cpu_has_no_fp16(c: Config) -> Broken | None:
    if not (c.device == "cpu" and c.dtype == "float16"):
        return None
    says = "dtype=float16 does not train on device=cpu; try dtype=bfloat16 or dtype=float32"
    return Broken(("dtype", "device"), says)


def fsdp_has_no_scaler_and_no_samples(c: Config) -> Broken | None:
    if c.strategy != "fsdp":
        return None
    if c.dtype == "float16":
        return Broken(("dtype", "strategy"), "dtype=float16 with strategy=fsdp: not supported; try dtype=bfloat16")
    if c.generate_interval:
        says = "with strategy=fsdp no device holds the whole model to write with; try generate_interval=0"
        return Broken(("generate_interval", "strategy"), f"generate_interval={c.generate_interval}: {says}")
    return None


def pruning_sees_whole_weights(c: Config) -> Broken | None:
    """One threshold holds for all layers; under fsdp no process has them, and under zero1 none has all of Adam's moments."""
    if c.strategy == "fsdp" and c.pruning_method != "none":
        lacks, other = "whole weights", "strategy=ddp" + " or strategy=zero1" * (c.pruning_method != "state")
    elif c.strategy == "zero1" and c.pruning_method == "state":
        lacks, other = "all of Adam's moments", "strategy=ddp"
    else:
        return None
    says = f"pruning_method={c.pruning_method} with strategy={c.strategy}: no process has {lacks}; try {other}"
    return Broken(("pruning_method", "strategy"), says)


def state_pruning_needs_moments(c: Config) -> Broken | None:
    own = c.optimizer not in choices("optimizer")  # and may have them
    if c.pruning_method != "state" or own or c.optimizer.startswith(("adam", "schedule_free")):
        return None
    says = f"pruning_method=state scores weights by Adam's two moments, which optimizer={c.optimizer} has not"
    return Broken(("pruning_method", "optimizer"), f"{says}; try optimizer=adamw, or pruning_method=magnitude")


# What an update rule needs, and the strategy under which no device has it.
SHARED: dict[str, tuple[str, str]] = {
    "muon": ("fsdp", "no device holds a whole matrix to orthogonalize; try strategy=zero1"),
    "adamwspam": ("zero1", "gradients are clipped by moments that one device alone has; try strategy=fsdp"),
    "schedule_free_adamw": (
        "zero1",
        "the average to evaluate needs moments that one device alone has; try strategy=fsdp",
    ),
}


def optimizer_has_what_it_needs(c: Config) -> Broken | None:
    rule = c.adamwprune_base_optimizer_name if c.optimizer == "adamwprune" else c.optimizer
    strategy, says = SHARED.get(rule, ("", ""))
    if c.strategy != strategy:
        return None
    keys = ("adamwprune_base_optimizer_name",) if c.optimizer == "adamwprune" else ()
    return Broken(("optimizer", "strategy", *keys), f"optimizer={c.optimizer} under strategy={strategy}: {says}")


def schedule_free_is_not_pruned(c: Config) -> Broken | None:
    if c.optimizer != "schedule_free_adamw" or c.pruning_method == "none":
        return None
    says = "the average that is saved has weights from before they were pruned; try optimizer=adamw"
    return Broken(("pruning_method", "optimizer"), f"pruning_method={c.pruning_method} with {c.optimizer}: {says}")


def schedule_free_interpolates(c: Config) -> Broken | None:
    if c.optimizer != "schedule_free_adamw" or c.beta1 > 0:
        return None
    says = "beta1=0 leaves schedule_free_adamw no average to evaluate; try beta1=0.9"
    return Broken(("beta1", "optimizer"), says)
