"""What several devices share out: nothing (ddp), the optimizer's moments (zero1), or everything (fsdp)."""

from __future__ import annotations

from dataclasses import replace

from gptmill.config.rules.devices import SHARED
from gptmill.plan.batch import with_batch_size
from gptmill.plan.fit import fits
from gptmill.plan.types import Plan


def settle_strategy(plan: Plan) -> Plan:
    """The plan with ``auto`` decided: the least sharing that fits, since what is shared must be sent around."""
    if plan.world_size == 1:
        return replace(plan, strategy="none")
    if plan.strategy == "none":
        return replace(plan, strategy="ddp")
    if plan.strategy != "auto":
        return plan
    # what fsdp does not do, and zero1, see config/rules.py
    whole = plan.dtype == "float16" or plan.generate_interval or plan.pruning_method != "none"
    lacking = {SHARED.get(plan.base_optimizer, ("", ""))[0], *["zero1"] * (plan.pruning_method == "state")}
    names = [name for name in ("ddp", "zero1", *([] if whole else ["fsdp"])) if name not in lacking]
    ways = [replace(plan, strategy=name) for name in names]
    least = [with_batch_size(way, 1) if way.memory_target else way for way in ways]  # its batch is chosen afterwards
    return next((way for way, tried in zip(ways, least) if fits(tried) is not False), ways[-1])
