"""Advice on the learning rate and its schedule."""

from __future__ import annotations

from gptmill.plan.advice.situation import ADVICE, Situation, default, note, warning
from gptmill.plan.types import Advice


@ADVICE.register("warmup_longer_than_run")
def warmup_longer_than_run(run: Situation) -> Advice | None:
    plan = run.plan
    if not 0 < plan.max_iters <= plan.warmup_iters:
        return None
    return warning(
        "warmup_iters",
        f"warmup takes {plan.warmup_iters:,} steps and the run has {plan.max_iters:,}",
        "the rate is still rising when the run ends and never decays",
        f"warmup_iters={plan.max_iters // 50}",
    )


@ADVICE.register("decay_longer_than_run")
def decay_longer_than_run(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.schedule == "constant" or not 0 < plan.max_iters < plan.lr_decay_iters:
        return None
    return warning(
        "lr_decay_iters",
        f"the decay takes {plan.lr_decay_iters:,} steps and the run has {plan.max_iters:,}",
        f"the rate never comes down to min_lr={plan.min_lr:g}, and the loss stays higher than it need be",
        f"lr_decay_iters={plan.max_iters}",
    )


@ADVICE.register("decay_shorter_than_run")
def decay_shorter_than_run(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.schedule == "constant" or not plan.warmup_iters < plan.lr_decay_iters < plan.max_iters:
        return None
    return note(
        "lr_decay_iters",
        f"the last {plan.max_iters - plan.lr_decay_iters:,} steps run at min_lr={plan.min_lr:g}",
        "they learn slowly; a decay over the whole run usually ends lower",
        f"lr_decay_iters={plan.max_iters}",
    )


@ADVICE.register("decay_within_warmup")
def decay_within_warmup(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.schedule == "constant" or not 0 < plan.lr_decay_iters <= plan.warmup_iters < plan.max_iters:
        return None
    return warning(
        "lr_decay_iters",
        f"the decay ends at step {plan.lr_decay_iters:,}, before warmup does at {plan.warmup_iters:,}",
        f"the rate drops from its peak to min_lr={plan.min_lr:g} in one step",
        f"lr_decay_iters={plan.max_iters}",
    )


@ADVICE.register("decay_fraction_without_wsd")
def decay_fraction_without_wsd(run: Situation) -> Advice | None:
    config = run.config
    if config.schedule == "wsd" or config.decay_fraction == default("decay_fraction"):
        return None
    says = f"{config.schedule} decays over the whole run"
    return note("decay_fraction", f"{config.decay_fraction:g} is not used", says, "schedule=wsd")


@ADVICE.register("reference_without_scaling")
def reference_without_scaling(run: Situation) -> Advice | None:
    reference = run.config.reference_batch_size
    if reference is None or run.config.lr_scaling != "none":
        return None
    return note("reference_batch_size", f"{reference:,} is not used", "nothing scales the rate", "lr_scaling=sqrt")


@ADVICE.register("linear_scaling_with_adam")
def linear_scaling_with_adam(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.lr_scaling != "linear" or "adam" not in plan.base_optimizer:
        return None
    if plan.effective_batch_size == plan.reference_batch_size:
        return None
    return note(
        "lr_scaling",
        f"the rate grows in step with the batch, to {plan.learning_rate:g}",
        "that rule is SGD's (arXiv:1706.02677); Adam divides by the gradient's size, and its is the square root (arXiv:2205.10287)",
        "lr_scaling=sqrt",
    )


@ADVICE.register("clipping_off")
def clipping_off(run: Situation) -> Advice | None:
    if run.plan.grad_clip > 0:
        return None
    return note("grad_clip", "gradients are not clipped", "one bad batch can undo many steps", "grad_clip=1.0")
