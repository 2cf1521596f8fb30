"""``gptmill schedule``: the learning rate of every step of a run, drawn and in words, without torch."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gptmill.cli.plan import Flag, prepared_data
from gptmill.cli.plan_page import sentence
from gptmill.cli.resuming import load_run
from gptmill.cli.savechart import check_target, save_chart
from gptmill.cli.say import say
from gptmill.errors import UserError
from gptmill.optim.schedules import lr_at
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import advice_json, make_plan
from gptmill.plan.scaling import in_words
from gptmill.plan.types import Plan

N_POINTS = 601  # of a curve: more than a screen is wide
WIDTH, HEIGHT = 80, 14
NARROW = 40  # columns: what a narrower terminal gets
ABOUT = (
    *("warmup_iters", "lr_decay_iters", "learning_rate", "min_lr", "schedule", "decay_fraction"),
    *("lr_scaling", "reference_batch_size"),
)
# of a visualize_lr_schedule.py, which knows no config
STANDALONE: dict[str, object] = {
    "warmup_iters": 500,
    "max_iters": 5000,
    "learning_rate": 6e-4,
    "min_lr_ratio": 0.1,
}


def schedule(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    save: Path | None = None,
    json: Flag = False,
    standalone: Annotated[bool, Parameter(negative="", show=False)] = False,
) -> None:
    """Draw the learning rate that `gptmill train` with the same arguments would use, step by step.

    Parameters
    ----------
    argv
        Config files and --key=value flags, such as --warmup_steps, --total_steps, --max_lr, --min_lr_ratio.
    save
        Also write the curve: .svg, .html, .csv (every step), or .png (needs matplotlib).
    json
        Print one JSON object with the curve instead of drawing it.
    """
    if save is not None:
        check_target(save)
    resolved = load_run(list(argv), STANDALONE if standalone else None)
    config = resolved.config
    machine = detect_machine(config.device, demanded=False)
    data = prepared_data(config) if config.epochs is not None else None  # else the rate depends on no dataset
    if config.eval_interval == "epoch":
        config = config.model_copy(update={"eval_interval": 1})
    plan = make_plan(config, data=data, machine=machine, origins=resolved.origins)
    if plan.max_iters == 0:
        raise UserError("max_iters=0: a run without steps has no learning rate to draw; set max_iters")
    points = curve(plan)
    say(*resolved.notices)
    if save is not None:
        save_chart(save, plan, points, words(plan))
        say(f"saved {save}")
    if json:
        print(json_format.dumps(as_json(plan, points), allow_nan=False))
    else:
        show(plan)


def curve(plan: Plan) -> list[tuple[int, float]]:
    """(step, learning rate) at evenly spaced steps, and at the corners between them."""
    last = plan.max_iters - 1
    steps = {round(i * last / (N_POINTS - 1)) for i in range(N_POINTS)}
    steps |= {min(last, step) for step in (plan.warmup_iters - 1, plan.warmup_iters, plan.lr_decay_iters) if step >= 0}
    return [(step, lr_at(step, plan)) for step in sorted(steps)]


def peak_step(plan: Plan) -> int:
    """Where the rate is highest: every schedule rises until warmup is over and never after."""
    return min(plan.warmup_iters, plan.max_iters - 1)


def words(plan: Plan) -> list[str]:
    """The landmarks in words, then what is unwise."""
    last, peak = plan.max_iters - 1, peak_step(plan)
    lines = [f"start  {lr_at(0, plan):.3g} at step 0 of {plan.max_iters:,}"]
    if plan.lr_scaling != "none":
        lines.insert(0, f"scaled {in_words(plan)} sequences a step")
    if plan.warmup_iters > last:
        lines.append(
            f"peak   {lr_at(peak, plan):.3g} at the last step: warmup never ends, {plan.learning_rate:g} never comes"
        )
    else:
        before = f"after {plan.warmup_iters:,} steps of warmup" if plan.warmup_iters else "without warmup"
        lines.append(f"peak   {lr_at(peak, plan):.3g} at step {peak:,}, {before}")
    if plan.schedule == "constant":
        lines.append("floor  none: the rate stays at its peak")
    elif plan.lr_decay_iters <= last and plan.warmup_iters <= last:
        reached = max(plan.lr_decay_iters, plan.warmup_iters)
        lines.append(f"floor  {plan.min_lr:.3g} from step {reached:,} to the end ({plan.schedule})")
    elif plan.lr_decay_iters == plan.max_iters and plan.warmup_iters <= last:
        lines.append(f"floor  {plan.min_lr:.3g}, which {plan.schedule} decay nears as the run ends")
    else:
        lines.append(f"floor  {plan.min_lr:.3g} is not reached within the run")
    lines.append(f"end    {lr_at(last, plan):.3g} at step {last:,}")
    return lines + [f"{piece.level}: {sentence(piece)}" for piece in plan.advice if piece.key in ABOUT]


def show(plan: Plan) -> None:
    """Print the chart and the words; braille dots where stdout can carry them, stars elsewhere."""
    import shutil
    import textwrap

    from gptmill.report.chart import terminal

    width = max(NARROW, min(WIDTH, shutil.get_terminal_size((WIDTH, HEIGHT)).columns))
    last = plan.max_iters - 1
    ys = [lr_at(round(i * last / (N_POINTS - 1)), plan) for i in range(N_POINTS)]
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    print(f"learning rate over {plan.max_iters:,} step{'s' * (plan.max_iters > 1)}: {plan.schedule}")
    print()
    for line in terminal(ys, last, width=width, height=HEIGHT, unicode=encoding.startswith("utf")):
        print(line)
    print()
    for line in words(plan):
        print(textwrap.fill(line, width, subsequent_indent=" " * 7, break_on_hyphens=False))


def as_json(plan: Plan, points: list[tuple[int, float]]) -> dict[str, Any]:
    """What --json prints; steps are 0-based, the rate is that of the update taken at the step."""
    peak, last = peak_step(plan), plan.max_iters - 1
    return {
        "schedule": plan.schedule,
        "max_iters": plan.max_iters,
        "warmup_iters": plan.warmup_iters,
        "lr_decay_iters": plan.lr_decay_iters,
        "learning_rate": plan.learning_rate,
        "lr_scaling": plan.lr_scaling,
        "reference_batch_size": plan.reference_batch_size,
        "min_lr": plan.min_lr,
        "peak": {"step": peak, "lr": lr_at(peak, plan)},
        "end": {"step": last, "lr": lr_at(last, plan)},
        "steps": [step for step, _ in points],
        "lr": [lr for _, lr in points],
        "advice": advice_json(piece for piece in plan.advice if piece.key in ABOUT),
    }
