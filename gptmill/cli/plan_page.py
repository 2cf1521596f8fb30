"""The page of ``gptmill plan``: what a run is, what it takes and what would be wiser, on one screen."""

from __future__ import annotations

import shlex
import textwrap

from gptmill.cli.plan_figures import cost_lines, loss_lines, memory_lines, time_lines
from gptmill.optim.schedules import wsd_decay_start
from gptmill.plan.batch import sizes
from gptmill.plan.horizon import steps_for_epochs, windows_per_epoch
from gptmill.plan.outlook import Outlook
from gptmill.plan.saving import FIRST
from gptmill.plan.scaling import in_words
from gptmill.plan.types import Advice, Plan
from gptmill.shapes import ModelShape
from gptmill.units import count, flops, size

WIDTH = 80  # columns of the page, fewer on a narrower terminal
INDENT = " " * 10  # where the text beside a label begins


def show(settled: Plan, found: Outlook, argv: list[str]) -> None:
    """Print the page: facts, then advice, then the command that starts the run."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    # a command or a path stays in one piece, to be copied
    wrapper = textwrap.TextWrapper(
        min(console.width, WIDTH), INDENT, INDENT, break_long_words=False, break_on_hyphens=False
    )

    def entry(label: str, style: str, lines: list[str]) -> None:
        body = "\n".join(wrapper.fill(line) for line in lines)
        console.print(Text.assemble((label.ljust(len(INDENT)), style), body[len(INDENT) :]), soft_wrap=True)

    room = wrapper.width - len(INDENT)
    for label, lines in {**facts(settled), **figures(settled, found, room)}.items():
        entry(label, "bold", lines)
    if settled.advice:
        console.print()
    for piece in settled.advice:
        entry(piece.level, "bold yellow" if piece.level == "warning" else "cyan", [sentence(piece)])
    if found.fits is not False:
        console.print(Text(f"\nStart it: {shlex.join([*_launcher(settled), 'train', *argv])}"), soft_wrap=True)


SHARED = {  # by strategy, what several devices share out
    "ddp": "ddp: each holds everything",
    "zero1": "zero1: each holds its share of the moments",
    "fsdp": "fsdp: each holds its share of everything",
}


def _launcher(settled: Plan) -> list[str]:
    if settled.world_size == 1:
        return ["gptmill"]
    return ["torchrun", "--standalone", f"--nproc_per_node={settled.world_size}", "-m", "gptmill"]


def facts(settled: Plan) -> dict[str, list[str]]:
    """The page's rows: label -> lines."""
    p, s = settled, settled.shape
    tied = "tied head" if s.weight_tying else "untied head"
    kind = s.ffn_type if s.ffn_type != "standard" else s.activation
    return {
        "model": [
            p.architecture,
            f"{s.n_layer} layers, {s.n_head} heads of {s.head_dim}{_groups(s)}, width {s.n_embd:,}, {kind} {s.ffn_dim:,} wide",
            f"{s.norm_position}-{s.normalization}, {s.position_encoding}, {'biases' if s.bias else 'no biases'}, {tied}",
            f"context {s.block_size:,} tokens, vocabulary {s.vocab_size:,}, dropout {s.dropout:g}",
            f"{p.params:,} parameters, {p.params_non_embedding:,} without positions",
            f"{flops(p.flops_per_token)} to train on one token",
        ],
        "data": [_data(p)],
        "step": [
            f"{sizes(p)} sequence{'s' * (p.batch_size > 1)} x {p.gradient_accumulation_steps} micro-step{'s' * (p.gradient_accumulation_steps > 1)} = {p.effective_batch_size:,} sequences"
            + (f", over {p.world_size} devices ({SHARED[p.strategy]})" if p.world_size > 1 else ""),
            f"= {p.tokens_per_iter:,} tokens, {flops(p.tokens_per_iter * p.flops_per_token)}",
        ],
        "run": [
            f"{p.max_iters:,} steps = {count(p.total_tokens)} tokens"
            + (f" = {p.epochs:.2f} epochs of {_epoch_steps(p):,} steps" if p.epochs is not None else ""),
            f"= {p.total_tokens / p.params:.1f} tokens per parameter, {flops(p.total_tokens * p.flops_per_token)}",
        ],
        "rate": [_rate(p)],
        "evaluate": [f"{_cadence(p)}: {p.eval_sequences:,} sequences per split"],
        "save": [_save(p)],
        "machine": [
            f"{p.device} ({p.device_name}"
            + (f", {size(p.device_memory)}{' each' * (p.world_size > 1)})" if p.device_memory else ")")
            + f": {p.dtype}, {s.attention_backend} attention, {'compiled' if p.compile else 'not compiled'}"
        ],
    }


def figures(settled: Plan, found: Outlook, columns: int = WIDTH - len(INDENT)) -> dict[str, list[str]]:
    """What the run takes: label -> lines; a row without lines is left out.

    Args:
        columns: of the bar.
    """
    rows = {
        "memory": memory_lines(settled, found, columns),
        "time": time_lines(settled, found),
        "cost": cost_lines(settled, found),
        "loss": loss_lines(found),
    }
    return {label: lines for label, lines in rows.items() if lines}


def remarks(settled: Plan) -> list[str]:
    """What a run should say of its plan: the warnings; notes are counted, `gptmill plan` shows them."""
    lines = [f"warning: {sentence(piece)}" for piece in settled.advice if piece.level == "warning"]
    n_notes = len(settled.advice) - len(lines)
    if n_notes:
        lines.append(f"{n_notes} note{'s' * (n_notes > 1)} on these settings: gptmill plan shows them")
    return lines


def sentence(piece: Advice) -> str:
    because = piece.because[:1].upper() + piece.because[1:]
    return f"{piece.key}: {piece.says}. {because}. Try {piece.try_}"


def _cadence(p: Plan) -> str:
    return f"after every epoch ({p.eval_interval:,} steps)" if p.eval_per_epoch else f"every {p.eval_interval:,} steps"


def _data(p: Plan) -> str:
    if p.train_tokens is None or p.val_tokens is None:
        return f"{p.data_path}: not prepared yet"
    counted = (
        "" if p.counted_tokens is None else f"; {p.counted_tokens / p.train_tokens:.0%} count, prompts are only read"
    )
    return f"{p.data_path}: {p.train_tokens:,} tokens to train on, {p.val_tokens:,} to validate{counted}"


def _epoch_steps(p: Plan) -> int:
    assert p.train_tokens is not None
    return steps_for_epochs(1, windows_per_epoch(p.train_tokens, p.shape.block_size), p.effective_batch_size)


def _groups(s: ModelShape) -> str:
    return f" on {s.n_kv_head} of keys and values" if s.n_kv_head < s.n_head else ""


def _rate(p: Plan) -> str:
    warmup = f"up to {in_words(p)} in {p.warmup_iters:,} steps" if p.warmup_iters else in_words(p)
    if p.schedule == "constant":
        return f"{p.optimizer}: {warmup}, then constant"
    if p.schedule == "wsd":
        return f"{p.optimizer}: {warmup}, stable, from step {wsd_decay_start(p):,.0f} down to {p.min_lr:g} at step {p.lr_decay_iters:,}"
    return f"{p.optimizer}: {warmup}, {p.schedule} down to {p.min_lr:g} at step {p.lr_decay_iters:,}"


def _save(p: Plan) -> str:
    when = ["at every evaluation" if p.always_save_checkpoint else "when an evaluation is the best so far"]
    if p.snapshot_interval:
        when.append(f"every {p.snapshot_interval:,} steps")
    if p.checkpoint_minutes:
        when.append(f"every {p.checkpoint_minutes:g} minutes")
    if p.checkpoint_minutes is None:
        when.append(f"every {FIRST:g} minutes (then by its cost)")
    kept = f"the newest {p.keep_last_n_snapshots}" if p.keep_last_n_snapshots else "all"
    return f"{', '.join(when)}, and at the end; {kept} kept, and the best"
