"""One function per mistake. Each looks at a settled plan and says nothing, or one thing worth knowing before the run.

Advice never stops a run: what cannot work is an error, raised elsewhere. Adding a piece is one registered function;
its name is the mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gptmill.config.schema import Config
from gptmill.plan.flops import has_closed_form, members
from gptmill.plan.horizon import steps_for_epochs, windows_per_epoch
from gptmill.plan.shape import expected_vocab_size, how_to_prepare
from gptmill.plan.types import Advice, DataFacts, Machine, Plan
from gptmill.registry import Registry
from gptmill.units import count

MANY_EPOCHS = 10  # up to 4 repeats are as good as new text, later ones fade: Muennighoff et al. 2023, arXiv:2305.16264
COMPUTE_OPTIMAL = 20  # tokens per parameter: Hoffmann et al. 2022, arXiv:2203.15556
HIGH_RATE = 0.01  # GPT-3 peaked at 6e-4 (125M) down to 6e-5 (175B): Brown et al. 2020, arXiv:2005.14165


@dataclass(frozen=True)
class Situation:
    """What was asked, what was settled (``plan.advice`` is still empty), and what there is."""

    config: Config
    plan: Plan
    data: DataFacts | None
    machine: Machine


Adviser = Callable[[Situation], Advice | None]
ADVICE: Registry[Adviser] = Registry("advice")


def advise(situation: Situation) -> tuple[Advice, ...]:
    """All that applies, warnings first, otherwise in the order of this file."""
    given = [piece for adviser in ADVICE.values() if (piece := adviser(situation)) is not None]
    return tuple(sorted(given, key=lambda piece: piece.level != "warning"))


def note(key: str, says: str, because: str, try_: str) -> Advice:
    return Advice("note", key, says, because, try_)


def warning(key: str, says: str, because: str, try_: str) -> Advice:
    return Advice("warning", key, says, because, try_)


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


@ADVICE.register("vocabulary_assumed")
def vocabulary_assumed(run: Situation) -> Advice | None:
    if run.config.vocab_size is not None or (run.data is not None and run.data.vocab_size is not None):
        return None
    tokenizer = run.config.tokenizer
    expected = expected_vocab_size(tokenizer) is not None
    return note(
        "vocab_size",
        f"{run.plan.shape.vocab_size:,} is assumed",
        f"tokenizer {tokenizer} has not met the text yet"
        if expected
        else "no meta.json names the tokenizer; this is GPT-2's",
        f"{how_to_prepare(run.config)}; or vocab_size=N",
    )


@ADVICE.register("vocabulary_unaligned")
def vocabulary_unaligned(run: Situation) -> Advice | None:
    V = run.plan.shape.vocab_size
    if V <= 1024 or V % 64 == 0:
        return None
    return note(
        "vocab_size",
        f"{V:,} is not a multiple of 64",
        "the output matmul is slower at odd widths; ids beyond the tokenizer's are never used",
        f"vocab_size={-(-V // 64) * 64}",
    )


@ADVICE.register("unusual_head_width")
def unusual_head_width(run: Situation) -> Advice | None:
    shape = run.plan.shape
    if 16 <= shape.head_dim <= 256 and shape.head_dim % 8 == 0:
        return None
    usual = [shape.n_embd // width for width in (64, 128, 32) if shape.n_embd % width == 0]
    return note(
        "n_head",
        f"heads are {shape.head_dim} wide",
        "fast attention kernels want a multiple of 8 between 16 and 256, and most models use 64 or 128",
        f"n_head={usual[0]}" if usual else "n_embd as a multiple of 64, n_head=n_embd/64",
    )


@ADVICE.register("attention_dominates")
def attention_dominates(run: Situation) -> Advice | None:
    shape = run.plan.shape
    if not has_closed_form(shape):
        return None
    flops = {member.name: member.flops for member in members(shape)}
    attention = flops.pop("scores, mixing")
    others = sum(flops.values())
    if attention <= others:
        return None
    balanced = others * shape.block_size // attention  # only attention's cost per token grows with context
    return note(
        "block_size",
        f"{attention / (attention + others):.0%} of all FLOP are attention scores",
        f"a context of {shape.block_size:,} is long for n_embd={shape.n_embd}",
        f"block_size={max(2, balanced)} for half, unless the long context is the point",
    )


@ADVICE.register("part_without_effect")
def part_without_effect(run: Situation) -> Advice | None:
    config, shape = run.config, run.plan.shape
    default = type(config).model_fields
    if shape.ffn_type == "swiglu" and config.activation != default["activation"].default:
        return note("activation", f"{config.activation} is not used", "swiglu has its own, SiLU", "ffn_type=standard")
    if shape.position_encoding != "rope" and config.rope_theta != default["rope_theta"].default:
        says = "there is nothing to rotate without rope"
        return note("rope_theta", f"{config.rope_theta:g} is not used", says, "position_encoding=rope")
    if config.sliding_window != "off" and config.sliding_window >= shape.block_size:
        says = f"a token has at most block_size={shape.block_size} to see"
        return note("sliding_window", f"{config.sliding_window:,} hides nothing", says, "a smaller window, or off")
    if config.decay_fraction != default["decay_fraction"].default and config.schedule != "wsd":
        says = f"{config.schedule} decays over the whole run"
        return note("decay_fraction", f"{config.decay_fraction:g} is not used", says, "schedule=wsd")
    return None


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


@ADVICE.register("rate_far_above_usual")
def rate_far_above_usual(run: Situation) -> Advice | None:
    plan = run.plan
    if plan.optimizer != "adamw" or plan.learning_rate <= HIGH_RATE:
        return None
    return warning(
        "learning_rate",
        f"{plan.learning_rate:g} is far above what AdamW usually bears",
        "GPT-3 peaked between 6e-5 and 6e-4, small models bear about 1e-3; higher rates tend to diverge",
        "learning_rate=1e-3",
    )


@ADVICE.register("clipping_off")
def clipping_off(run: Situation) -> Advice | None:
    if run.plan.grad_clip > 0:
        return None
    return note("grad_clip", "gradients are not clipped", "one bad batch can undo many steps", "grad_clip=1.0")


@ADVICE.register("few_tokens_per_parameter")
def few_tokens_per_parameter(run: Situation) -> Advice | None:
    ratio = run.plan.total_tokens / run.plan.params
    if run.plan.max_iters == 0 or ratio >= 1:
        return None
    return note(
        "max_iters",
        f"{count(run.plan.total_tokens)} tokens for {count(run.plan.params)} parameters: {ratio:.2g} each",
        "about 20 is compute-optimal (arXiv:2203.15556); a smaller model would reach a lower loss in this time",
        f"max_iters={_steps_for_ratio(run.plan)}, or a smaller model",
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
    wanted = plan.eval_iters * plan.batch_size
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


@ADVICE.register("device_replaced")
def device_replaced(run: Situation) -> Advice | None:
    asked = run.config.device
    if asked in ("auto", run.plan.device):
        return None
    return note(
        "device",
        f"the config asks for {asked}, and this run takes {run.plan.device}",
        f"this machine has no {asked} device",
        "device=auto",
    )


@ADVICE.register("half_precision_without_gain")
def half_precision_without_gain(run: Situation) -> Advice | None:
    asked, machine = run.config.dtype, run.machine
    if asked == "bfloat16" and not machine.bf16:
        return note("dtype", f"bfloat16 has no fast path on {machine.name}", "it is emulated", "dtype=auto")
    if asked == "float16" and machine.kind == "cpu":
        return note(
            "dtype", "float16 has no fast path on a CPU", "it is emulated, and needs loss scaling besides", "dtype=auto"
        )
    if asked == "float16" and machine.bf16:
        return note(
            "dtype",
            "float16 needs loss scaling",
            f"on {machine.name} bfloat16 is as fast and does not",
            "dtype=bfloat16",
        )
    return None


@ADVICE.register("full_precision_on_fast_hardware")
def full_precision_on_fast_hardware(run: Situation) -> Advice | None:
    if run.config.dtype != "float32" or not run.machine.bf16:
        return None
    return note(
        "dtype", "float32 matmuls leave speed unused", f"{run.machine.name} is faster in bfloat16", "dtype=auto"
    )


def _steps_for_ratio(plan: Plan) -> int:
    return max(1, round(COMPUTE_OPTIMAL * plan.params / plan.tokens_per_iter))
