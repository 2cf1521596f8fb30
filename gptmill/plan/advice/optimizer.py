"""Advice on the update rule: rates that it does not bear, and settings that it does not read."""

from __future__ import annotations

from collections.abc import Iterable

from gptmill.plan.advice.situation import ADVICE, Situation, default, note, warning
from gptmill.plan.types import Advice

HIGH_RATE = 0.01  # GPT-3 peaked at 6e-4 (125M) down to 6e-5 (175B): Brown et al. 2020, arXiv:2005.14165
LOW_SGD_RATE = 0.02  # at 0.1 it learned less than at 0.5: docs/log.md
STRONG_SGD_DECAY = 0.01  # of a weight, gone in one step

NAMES = {  # of the rules that move a weight by about the rate in a step
    **dict.fromkeys(("adamw", "adamwadv", "adamwspam"), "AdamW"),
    **{"adam": "Adam", "schedule_free_adamw": "schedule-free AdamW", "muon": "Muon, scaled to AdamW's size,"},
}

# The rules that read a setting; adamwprune reads what its base does, besides numbers of its own.
OF_SPAM = ("spam_variant", "spam_theta", "spam_interval", "spam_warmup_steps", "spam_enable_clip")
READ_BY: dict[str, str] = {
    "momentum": "sgd",
    **dict.fromkeys(("muon_momentum", "muon_learning_rate"), "muon"),
    **dict.fromkeys((*OF_SPAM, "spam_spike_threshold"), "adamwspam"),
    **dict.fromkeys((f"adamwprune_{key}" for key in ("beta1", "beta2", "weight_decay", "amsgrad")), "adamwprune"),
    "adamwprune_base_optimizer_name": "adamwprune",
}
REPLACED = ("beta1", "beta2", "weight_decay")  # by adamwprune's own
# What all rules read but these: rule -> (keys, why)
UNREAD: dict[str, tuple[tuple[str, ...], str]] = {
    "sgd": (("beta1", "beta2", "eps"), "SGD has one moment, with momentum, and divides by nothing"),
    "adam": (("weight_decay", "adamwprune_weight_decay"), "Adam decays nothing here; AdamW does"),
}


@ADVICE.register("rate_far_above_usual")
def rate_far_above_usual(run: Situation) -> Advice | None:
    plan = run.plan
    rates = {"learning_rate": plan.learning_rate}
    if plan.optimizer == "muon":
        rates["muon_learning_rate"] = plan.muon_learning_rate
    key = next((key for key, rate in rates.items() if rate > HIGH_RATE), None)
    if key is None or plan.base_optimizer not in NAMES:
        return None
    return warning(
        key,
        f"{rates[key]:g} is far above what {NAMES[plan.base_optimizer]} usually bears",
        "GPT-3 peaked between 6e-5 and 6e-4, small models bear about 1e-3; higher rates tend to diverge",
        f"{key}=1e-3",
    )


@ADVICE.register("rate_far_below_sgds")
def rate_far_below_sgds(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.optimizer != "sgd" or not 0 < plan.learning_rate < LOW_SGD_RATE:
        return None
    return warning(
        "learning_rate",
        f"{plan.learning_rate:g} is a rate for Adam",
        "SGD does not divide by the gradient's size, so it hardly moves at such rates",
        "learning_rate=0.5",
    )


@ADVICE.register("sgd_decays_fast")
def sgd_decays_fast(run: Situation) -> Advice | None:
    plan = run.plan
    share = plan.learning_rate * plan.weight_decay / (1 - plan.momentum)
    if plan.optimizer != "sgd" or share <= STRONG_SGD_DECAY:
        return None
    return warning(
        "weight_decay",
        f"{plan.weight_decay:g} at learning_rate={plan.learning_rate:g} takes {share:.1%} of every matrix in each step",
        "weight decay is in proportion to the rate, momentum multiplies it, and SGD's rates are high",
        "weight_decay=1e-4",
    )


@ADVICE.register("schedule_free_with_a_schedule")
def schedule_free_with_a_schedule(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.optimizer != "schedule_free_adamw" or plan.schedule == "constant":
        return None
    return note(
        "schedule",
        f"{plan.schedule} lowers the rate of an optimizer that needs no schedule",
        "it averages the weights instead; the average is as good at any step only if the rate stays",
        "schedule=constant",
    )


@ADVICE.register("option_of_another_optimizer")
def option_of_another_optimizer(run: Situation) -> Advice | None:
    plan, rules = run.plan, (run.plan.optimizer, run.plan.base_optimizer)
    by_rule: dict[str, list[str]] = {}
    for key in _changed(run, READ_BY):
        if READ_BY[key] not in rules:
            by_rule.setdefault(READ_BY[key], []).append(key)
    for rule, keys in by_rule.items():  # those of one rule: it is most likely the one that is meant
        return note(keys[0], _not_used(run, keys), f"optimizer={plan.optimizer} does not read it", f"optimizer={rule}")
    for key in _changed(run, REPLACED) if plan.optimizer == "adamwprune" else ():
        given = getattr(run.config, key)
        says = "adamwprune has numbers of its own"
        return note(key, f"{given:g} is not used", says, f"adamwprune_{key}={given:g}, and leave {key} out")
    return None


@ADVICE.register("option_that_no_moment_needs")
def option_that_no_moment_needs(run: Situation) -> Advice | None:
    unread, why = UNREAD.get(run.plan.base_optimizer, ((), ""))
    keys = _changed(run, unread)
    if not keys:
        return None
    return note(keys[0], _not_used(run, keys), why, f"leave {' and '.join(keys)} out")


def _changed(run: Situation, keys: Iterable[str]) -> list[str]:
    return [key for key in keys if getattr(run.config, key) != default(key)]


def _not_used(run: Situation, keys: list[str]) -> str:
    """'50 is not used, nor is spam_interval=10': the first of the keys is named before that."""
    first, *more = (getattr(run.config, key) for key in keys)
    others = " and ".join(f"{key}={value}" for key, value in zip(keys[1:], more))
    return f"{first} is not used" + (f", nor {'is' if len(more) == 1 else 'are'} {others}" if others else "")
