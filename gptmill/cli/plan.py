"""``gptmill plan``: what a run would do, on one screen, without doing it and without torch."""

from __future__ import annotations

import json as json_format
import shlex
import sys
import textwrap
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.dataset import as_prepared, folder_of, ready_data
from gptmill.cli.parts import Import, import_parts, trace_model
from gptmill.cli.resuming import load_run
from gptmill.config.schema import Config
from gptmill.data.facts import facts_notice
from gptmill.data.layout import is_dataset
from gptmill.errors import UserError
from gptmill.optim.schedules import wsd_decay_start
from gptmill.plan.hardware import detect_machine
from gptmill.plan.horizon import steps_for_epochs, windows_per_epoch
from gptmill.plan.plan import make_plan, plan_json
from gptmill.plan.scaling import in_words
from gptmill.plan.types import Advice, DataFacts, Plan
from gptmill.shapes import ModelShape
from gptmill.units import count, flops, size

Flag = Annotated[bool, Parameter(negative="")]
WIDTH = 80  # columns of the page, fewer on a narrower terminal
INDENT = " " * 10  # where the text beside a label begins


def plan(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    gpus: int = 1,
    json: Flag = False,
    breakdown: Flag = False,
    explain: Flag = False,
    overwrite: Flag = False,
    import_: Import = None,
) -> None:
    """Say what `gptmill train` with the same arguments would do, and run nothing.

    Parameters
    ----------
    argv
        Config files and --key=value flags, as given to train.
    gpus
        Devices that share the work; torchrun's world size.
    json
        Print one JSON object instead of a page.
    breakdown
        Print where the model's parameters and FLOPs are, with a formula for each, instead of a page.
    explain
        Print every setting and where it came from, instead of a page.
    overwrite
        Changes nothing here; so that a line for train can be planned as it is.
    import_
        A Python module with parts of your own, registered when it is imported.
    """
    if gpus < 1:
        raise UserError(f"--gpus={gpus}: must be at least 1")
    resolved = load_run(list(argv), parts=import_parts(import_))
    if explain:
        from gptmill.cli.explain import explain as settings

        settings(resolved)
        return
    config = resolved.config
    data = prepared_data(config)
    if data is None:
        config = as_prepared(config)
    remarks = [*resolved.notices]
    if data is not None and (remark := facts_notice(data)):
        remarks.append(remark)
    demanded = resolved.origins["device"].startswith("--")
    machine = detect_machine(config.device, demanded=demanded)
    settled = make_plan(
        config, data=data, machine=machine, world_size=gpus, origins=resolved.origins, trace=trace_model
    )
    for remark in remarks:
        print(remark, file=sys.stderr)
    if json:
        print(json_format.dumps(plan_json(settled), allow_nan=False))
    elif breakdown:
        from gptmill.cli.breakdown import breakdown as table

        print(table(settled))
    else:
        show(settled, list(argv))


def prepared_data(config: Config) -> DataFacts | None:
    """The dataset's facts, or None when nothing is prepared under its name: planning prepares nothing."""
    if not is_dataset(folder_of(config)):
        return None
    return ready_data(config)


def show(settled: Plan, argv: list[str]) -> None:
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

    for label, lines in facts(settled).items():
        entry(label, "bold", lines)
    if settled.advice:
        console.print()
    for piece in settled.advice:
        entry(piece.level, "bold yellow" if piece.level == "warning" else "cyan", [sentence(piece)])
    console.print(Text(f"\nStart it: {shlex.join(['gptmill', 'train', *argv])}"), soft_wrap=True)


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
            f"{p.batch_size} sequences x {p.gradient_accumulation_steps} micro-step{'s' * (p.gradient_accumulation_steps > 1)} = {p.effective_batch_size:,} sequences"
            + (f", over {p.world_size} devices" if p.world_size > 1 else ""),
            f"= {p.tokens_per_iter:,} tokens, {flops(p.tokens_per_iter * p.flops_per_token)}",
        ],
        "run": [
            f"{p.max_iters:,} steps = {count(p.total_tokens)} tokens"
            + (f" = {p.epochs:.2f} epochs of {_epoch_steps(p):,} steps" if p.epochs is not None else ""),
            f"= {p.total_tokens / p.params:.1f} tokens per parameter, {flops(p.total_tokens * p.flops_per_token)}",
        ],
        "rate": [_rate(p)],
        "evaluate": [f"{_cadence(p)}: {p.eval_iters} batches of {p.batch_size} sequences per split"],
        "save": [_save(p)],
        "machine": [
            f"{p.device} ({p.device_name}"
            + (f", {size(p.device_memory)})" if p.device_memory else ")")
            + f": {p.dtype}, {s.attention_backend} attention, {'compiled' if p.compile else 'not compiled'}"
        ],
    }


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
    return f"{p.data_path}: {p.train_tokens:,} tokens to train on, {p.val_tokens:,} to validate"


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
    kept = f"the newest {p.keep_last_n_snapshots}" if p.keep_last_n_snapshots else "all"
    return f"{', '.join(when)}, and at the end; {kept} kept, and the best"
