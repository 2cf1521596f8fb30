"""Advice on pruning."""

from __future__ import annotations

from gptmill.plan.advice.situation import ADVICE, Situation, default, note, warning
from gptmill.plan.types import Advice

OPTIONS = ("target_sparsity", "pruning_warmup", "pruning_interval", "pruning_ramp_end", "prune_tied_head")


@ADVICE.register("pruning_after_the_end")
def pruning_after_the_end(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.pruning_method == "none" or not 0 < plan.max_iters <= plan.pruning_warmup:
        return None
    return warning(
        "pruning_warmup",
        f"pruning begins after step {plan.pruning_warmup:,} and the run has {plan.max_iters:,}",
        "nothing is pruned",
        f"pruning_warmup={plan.max_iters // 10}",
    )


@ADVICE.register("target_sparsity_not_met")
def target_sparsity_not_met(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.pruning_method == "none" or not plan.pruning_warmup < plan.max_iters < plan.pruning_ramp_end:
        return None
    return warning(
        "pruning_ramp_end",
        f"target_sparsity={plan.target_sparsity:g} is met at step {plan.pruning_ramp_end:,} and the run has {plan.max_iters:,}",
        "it ends with fewer zeros than that",
        f"pruning_ramp_end={_three_quarters(run)}",
    )


@ADVICE.register("pruned_at_once")
def pruned_at_once(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.pruning_method == "none" or not plan.pruning_ramp_end <= plan.pruning_warmup < plan.max_iters:
        return None
    return warning(
        "pruning_ramp_end",
        f"step {plan.pruning_ramp_end:,} is not after pruning_warmup={plan.pruning_warmup:,}",
        "all is pruned in one step, and the loss jumps",
        f"pruning_ramp_end={_three_quarters(run)}",
    )


@ADVICE.register("no_steps_after_pruning")
def no_steps_after_pruning(run: Situation) -> Advice | None:
    plan = run.plan
    if (
        plan.pruning_method == "none"
        or plan.pruning_ramp_end != plan.max_iters
        or plan.max_iters <= plan.pruning_warmup
    ):
        return None
    return note(
        "pruning_ramp_end",
        f"the last weights are pruned in the last step, {plan.max_iters:,}",
        "what is left has no step to make up for them",
        f"pruning_ramp_end={_three_quarters(run)}",
    )


@ADVICE.register("state_pruning_without_its_optimizer")
def state_pruning_without_its_optimizer(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.pruning_method != "state" or plan.optimizer == "adamwprune":
        return None
    return note(
        "pruning_method",
        f"state prunes by the moments of optimizer={plan.optimizer}",
        "where it comes from, and in a matrix, it goes with adamwprune only, which has betas and decay of its own",
        "optimizer=adamwprune",
    )


@ADVICE.register("pruning_options_without_pruning")
def pruning_options_without_pruning(run: Situation) -> Advice | None:
    changed = [key for key in OPTIONS if getattr(run.config, key) != default(key)]
    if run.plan.pruning_method != "none" or not changed:
        return None
    says = f"{getattr(run.config, changed[0])} is not used"
    return note(changed[0], says, "nothing is pruned", "pruning_method=magnitude")


def _three_quarters(run: Situation) -> int:
    plan = run.plan
    return plan.pruning_warmup + max(1, 3 * (plan.max_iters - plan.pruning_warmup) // 4)
