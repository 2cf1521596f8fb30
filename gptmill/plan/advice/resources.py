"""Advice on memory and time: what does not fit, what is left unused, what the hours go into."""

from __future__ import annotations

from dataclasses import replace

from gptmill.plan.advice.situation import ADVICE, Situation, note, warning
from gptmill.plan.fit import fits, largest_batch, nearest_fit, needs
from gptmill.plan.horizon import steps_for_epochs
from gptmill.plan.roofline import FORWARD
from gptmill.plan.time import batches_per_evaluation, evaluations, forecast
from gptmill.plan.types import Advice
from gptmill.units import duration, size

UNUSED = 0.5  # of the device's memory
ROOM = 0.9  # of it, to be on the safe side
COSTLY = 0.25  # share of a run that goes into evaluations
LATE = 3600.0  # seconds without a checkpoint


@ADVICE.register("nothing_to_share")
def nothing_to_share(run: Situation) -> Advice | None:
    if run.plan.world_size > 1 or run.config.strategy not in ("zero1", "fsdp"):
        return None
    return note(
        "strategy",
        f"{run.config.strategy} shares the state out among devices, and this is one",
        "it is as though it were not set",
        "gptmill launch --gpus=N, or gptmill plan --gpus=N to see what it would do",
    )


@ADVICE.register("does_not_fit")
def does_not_fit(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.device_memory is None or fits(plan) is not False:
        return None
    change = nearest_fit(plan)
    return warning(
        "batch_size",
        f"a step needs {size(needs(plan))}, and {plan.device_name} has {size(plan.device_memory)}",
        "it would run out of memory",
        str(change) if change else "a smaller model or block_size, or a device with more",
    )


@ADVICE.register("checkpointing_without_need")
def checkpointing_without_need(run: Situation) -> Advice | None:
    plan = run.plan
    if not plan.shape.activation_checkpointing or plan.device_memory is None:
        return None
    without = replace(plan, shape=replace(plan.shape, activation_checkpointing=False))
    if not fits(without, int(ROOM * plan.device_memory)):
        return None
    return note(
        "activation_checkpointing",
        f"without it a step takes {size(needs(without))} of {size(plan.device_memory)}",
        "computing every block twice is up to a third more work",
        "activation_checkpointing=False",
    )


@ADVICE.register("memory_left_unused")
def memory_left_unused(run: Situation) -> Advice | None:
    """Only where there is something to gain: on a GPU, in a step of several micro-steps."""
    plan = run.plan
    if (
        run.machine.kind != "cuda"
        or plan.max_iters == 0
        or plan.micro_steps == 1
        or plan.device_memory is None
        or not fits(plan)
    ):
        return None
    if needs(plan) > UNUSED * plan.device_memory:
        return None
    share = plan.effective_batch_size // plan.world_size
    most = min(share, largest_batch(plan, int(ROOM * plan.device_memory)))
    batch = next(b for b in range(most, 0, -1) if share % b == 0)
    if batch < 2 * plan.batch_size:
        return None
    return note(
        "batch_size",
        f"{plan.micro_steps} micro-steps take {size(needs(plan))} of {size(plan.device_memory)}",
        "fewer and larger ones learn the same and keep the GPU busier",
        f"batch_size={batch}, gradient_accumulation_steps={share // batch * plan.world_size}",
    )


@ADVICE.register("evaluations_take_long")
def evaluations_take_long(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.max_iters == 0 or plan.eval_only:
        return None
    each = batches_per_evaluation(plan) * FORWARD
    looking, learning = evaluations(plan) * each, plan.max_iters * plan.micro_steps
    share = looking / (looking + learning)
    if share <= COSTLY or plan.eval_iters == 1:
        return None
    # as many batches as leave a tenth of the time for evaluations
    fewer = int(plan.eval_iters * learning / (9 * looking))
    return note(
        "eval_iters",
        f"{share:.0%} of the run goes into {evaluations(plan):,} evaluations of {plan.eval_iters:,} batches a split",
        "fewer batches tell nearly as much",
        f"eval_iters={max(1, fewer)}",
    )


@ADVICE.register("rarely_evaluated")
def rarely_evaluated(run: Situation) -> Advice | None:
    """Where epochs are the measure: a run over more than ten of them reads its text too often for that."""
    plan = run.plan
    if plan.windows_per_epoch is None or plan.epochs is None or not 1 <= plan.epochs <= 10 or plan.eval_per_epoch:
        return None
    epoch = steps_for_epochs(1, plan.windows_per_epoch, plan.effective_batch_size)
    if 2 * plan.eval_interval <= epoch or epoch < 2 or plan.eval_interval > plan.max_iters:
        return None
    return note(
        "eval_interval",
        f"an evaluation every {plan.eval_interval:,} steps, and an epoch has {epoch:,}",
        "twice an epoch or more shows when the model begins to memorize",
        f"eval_interval={max(1, epoch // 4)}",
    )


@ADVICE.register("first_checkpoint_late")
def first_checkpoint_late(run: Situation) -> Advice | None:
    plan = run.plan
    time = forecast(plan)
    if plan.checkpoint_minutes != 0 or time is None or time.first_checkpoint is None or time.first_checkpoint <= LATE:
        return None
    return warning(
        "checkpoint_minutes",
        f"the first checkpoint comes after {duration(time.first_checkpoint)}",
        "whatever ends the run before loses all of it",
        "checkpoint_minutes=10",
    )
