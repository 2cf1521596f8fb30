"""Advice on how much text a run sees, and how often it looks at itself."""

from __future__ import annotations

from gptmill.plan.advice.situation import ADVICE, Situation, note
from gptmill.plan.horizon import steps_for_epochs, windows_per_epoch
from gptmill.plan.shape import how_to_prepare
from gptmill.plan.types import Advice, Plan
from gptmill.units import count

MANY_EPOCHS = 10  # up to 4 repeats are as good as new text, later ones fade: Muennighoff et al. 2023, arXiv:2305.16264
COMPUTE_OPTIMAL = 20  # tokens per parameter: Hoffmann et al. 2022, arXiv:2203.15556


@ADVICE.register("dataset_not_prepared")
def dataset_not_prepared(run: Situation) -> Advice | None:
    if run.data is not None:
        return None
    return note(
        "dataset",
        f"{run.config.dataset} is not prepared",
        "epochs cannot be counted",
        how_to_prepare(run.config),
    )


@ADVICE.register("few_tokens_per_parameter")
def few_tokens_per_parameter(run: Situation) -> Advice | None:
    ratio = run.plan.total_tokens / run.plan.params
    if run.plan.max_iters == 0 or ratio >= 1 or run.config.init_from not in ("scratch", "resume"):
        return None  # a model that has been trained already needs few
    return note(
        "max_iters",
        f"{count(run.plan.total_tokens)} tokens for {count(run.plan.params)} parameters: {ratio:.2g} each",
        "about 20 is compute-optimal (arXiv:2203.15556); a smaller model would reach a lower loss in this time",
        "a smaller model" if _too_often(run.plan) else f"max_iters={_steps_for_ratio(run.plan)}, or a smaller model",
    )


@ADVICE.register("many_tokens_per_parameter")
def many_tokens_per_parameter(run: Situation) -> Advice | None:
    ratio = run.plan.total_tokens / run.plan.params
    if ratio <= 1000:
        return None
    return note(
        "max_iters",
        f"{count(run.plan.total_tokens)} tokens for {count(run.plan.params)} parameters: {ratio:,.0f} each",
        "about 20 is compute-optimal (arXiv:2203.15556); a larger model would use this compute better",
        f"max_iters={_steps_for_ratio(run.plan)}, or a larger model",
    )


@ADVICE.register("many_epochs")
def many_epochs(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.train_tokens is None:
        return None
    windows = windows_per_epoch(plan.train_tokens, plan.shape.block_size)
    steps = steps_for_epochs(MANY_EPOCHS, windows, plan.effective_batch_size)
    if plan.max_iters <= steps:
        return None
    return note(
        "max_iters",
        f"every token is seen {plan.epochs:,.1f} times",
        "repeats teach less each time (arXiv:2305.16264), and a model large for its data memorizes: watch val loss",
        f"max_iters={steps}" + (", or dropout=0.1" if plan.shape.dropout == 0 else ""),
    )


@ADVICE.register("dropout_without_repetition")
def dropout_without_repetition(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.shape.dropout == 0 or plan.epochs is None or plan.epochs > 1:
        return None
    return note(
        "dropout",
        f"dropout={plan.shape.dropout:g} on text that is seen at most once",
        "what never repeats cannot be memorized, so dropout only slows learning",
        "dropout=0.0",
    )


@ADVICE.register("evaluated_only_at_the_ends")
def evaluated_only_at_the_ends(run: Situation) -> Advice | None:
    plan = run.plan
    if not 0 < plan.max_iters < plan.eval_interval:
        return None
    return note(
        "eval_interval",
        f"an evaluation every {plan.eval_interval:,} steps, in a run of {plan.max_iters:,}",
        "validation loss is known only at the start and at the end",
        f"eval_interval={max(1, plan.max_iters // 10)}",
    )


@ADVICE.register("validation_too_small")
def validation_too_small(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.val_tokens is None:
        return None
    wanted = plan.eval_sequences
    windows = windows_per_epoch(plan.val_tokens, plan.shape.block_size)
    if wanted <= windows:
        return None
    return note(
        "eval_iters",
        f"an evaluation asks for {wanted:,} sequences and val.bin has {windows:,}",
        "more batches than that tell nothing new",
        f"eval_iters={max(1, windows // plan.batch_size)}",
    )


@ADVICE.register("snapshot_beyond_the_run")
def snapshot_beyond_the_run(run: Situation) -> Advice | None:
    plan = run.plan
    if not 0 < plan.max_iters < plan.snapshot_interval:
        return None
    return note(
        "snapshot_interval",
        f"a snapshot every {plan.snapshot_interval:,} steps, in a run of {plan.max_iters:,}",
        "none is ever taken",
        f"snapshot_interval={max(1, plan.max_iters // 5)}",
    )


def _too_often(plan: Plan) -> bool:
    """Whether the compute-optimal length would repeat the text more than is worth it."""
    return plan.train_tokens is not None and COMPUTE_OPTIMAL * plan.params > MANY_EPOCHS * plan.train_tokens


def _steps_for_ratio(plan: Plan) -> int:
    return max(1, round(COMPUTE_OPTIMAL * plan.params / plan.tokens_per_iter))
