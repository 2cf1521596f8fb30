"""Advice on the model's parts and their sizes."""

from __future__ import annotations

from gptmill.config.rules.names import GPT2_SIZES
from gptmill.plan.advice.situation import ADVICE, Situation, default, note, warning
from gptmill.plan.flops import has_closed_form, members
from gptmill.plan.shape import FIXED_VOCAB_SIZES, expected_vocab_size, how_to_prepare
from gptmill.plan.types import Advice


@ADVICE.register("vocabulary_assumed")
def vocabulary_assumed(run: Situation) -> Advice | None:
    if run.config.vocab_size is not None or (run.data is not None and run.data.vocab_size is not None):
        return None
    tokenizer = run.config.tokenizer
    if tokenizer in FIXED_VOCAB_SIZES:
        return None
    expected = expected_vocab_size(tokenizer) is not None
    return note(
        "vocab_size",
        f"{run.plan.shape.vocab_size:,} is assumed",
        f"{tokenizer} is still to be learned from the text"
        if expected
        else "no meta.json names the tokenizer; this is GPT-2's",
        f"{how_to_prepare(run.config)}; or vocab_size=N",
    )


@ADVICE.register("tokens_of_another_model")
def tokens_of_another_model(run: Situation) -> Advice | None:
    theirs = run.data.tokenizer if run.data else None
    if run.config.init_from not in GPT2_SIZES or theirs in (None, "gpt2"):
        return None
    return warning(
        "dataset",
        f"{run.config.dataset} was prepared with {theirs}, and {run.config.init_from} learned GPT-2's tokens",
        "the same ids mean other words to it, so little of what it knows is of use",
        "gptmill prepare --tokenizer gpt2",
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


@ADVICE.register("activation_without_effect")
def activation_without_effect(run: Situation) -> Advice | None:
    asked = run.config.activation
    if run.plan.shape.ffn_type != "swiglu" or asked == default("activation"):
        return None
    return note("activation", f"{asked} is not used", "swiglu has its own, SiLU", "ffn_type=standard")


@ADVICE.register("rotation_without_rope")
def rotation_without_rope(run: Situation) -> Advice | None:
    asked = run.config.rope_theta
    if run.plan.shape.position_encoding == "rope" or asked == default("rope_theta"):
        return None
    return note(
        "rope_theta", f"{asked:g} is not used", "there is nothing to rotate without rope", "position_encoding=rope"
    )


@ADVICE.register("window_as_long_as_the_context")
def window_as_long_as_the_context(run: Situation) -> Advice | None:
    window, context = run.config.sliding_window, run.plan.shape.block_size
    if window == "off" or window < context:
        return None
    says = f"a token has at most block_size={context} to see"
    return note("sliding_window", f"{window:,} hides nothing", says, "a smaller window, or off")
