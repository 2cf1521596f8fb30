"""The last words of a training run."""

from __future__ import annotations

import json as json_format
import shlex
import textwrap
from pathlib import Path
from typing import Any

from gptmill.cli.report import PAGE
from gptmill.cli.runs import GPT2_VOCABULARIES, vocabulary
from gptmill.cli.say import say
from gptmill.optim.pruning.ramp import require_reachable
from gptmill.plan.types import DataFacts, Plan
from gptmill.report.loose import mapping
from gptmill.track.ranks import SLOWER, slowest
from gptmill.track.run_dir import RunDir
from gptmill.units import count, duration

WIDTH = 80
NO_BREAK = "\xa0"  # a space that textwrap leaves alone


def conclude(result: dict[str, Any], signal: int | None, *, json: bool) -> int:
    """Tell a script or a person how the run ended; returns the exit code.

    Args:
        result: the summary that ``train --json`` prints.
        signal: number of the signal that ended it early.
    """
    if json:
        print(json_format.dumps(result, allow_nan=False))
    if signal is not None:
        say(standing(result["run_dir"]))
    elif not json:
        say(closing(result))
    return 128 + signal if signal else 0


def closing(result: dict[str, Any]) -> str:
    """A few lines for a person: what was reached, where it is, what to type next."""
    lines = []
    if result["best_val_loss"] is not None:
        perplexity = f" (perplexity {result['perplexity']:.2f})" if result["perplexity"] is not None else ""
        lines.append(f"best validation loss {result['best_val_loss']:.4f} nats/token{perplexity}")
        lines.append(f"unigram entropy      {result['unigram_entropy']:.4f}: what token frequencies alone would reach")
    if pruning := result.get("pruning"):
        lines.append(sparsity(pruning))
    if result["tokens_per_second"]:
        speed = f"median step {result['tokens_per_second']:,.0f} tokens/s"
        if result.get("mfu") is not None:
            speed += f", MFU {result['mfu']:.1%}"
        lines.append(f"{count(result['tokens'])} tokens in {duration(result['seconds'])} of training steps, {speed}")
    if result.get("goodput") is not None:
        lines.append(f"{result['goodput']:.0%} of {duration(result['wall_seconds'])} wall time trained{_rest(result)}")
    if says := slowest(result.get("ranks"), least=SLOWER):
        lines.append(f"slowest was {says}")
    lines = [textwrap.fill(line, WIDTH, subsequent_indent="  ").replace(NO_BREAK, " ") for line in lines]
    run_dir = Path(result["run_dir"])
    lines.append(f"run folder {run_dir}")
    if (run_dir / "best").exists():
        lines.append(f"model      {run_dir}/best")
    if (run_dir / PAGE).exists():
        lines.append(f"report     {run_dir}/{PAGE}")
    if (run_dir / "checkpoints").is_dir() and (
        (run_dir / "tokenizer").is_dir() or vocabulary(run_dir) in GPT2_VOCABULARIES
    ):
        lines.append(f"try it     gptmill sample --run {shlex.quote(result['run_dir'])}")
    return "\n".join(lines)


def sparsity(pruning: dict[str, Any]) -> str:
    """Of all, and of the layers with the fewest and the most zeros."""
    layers = sorted(pruning["layers"].items(), key=lambda layer: layer[1])
    (least, low), (most, high) = layers[0], layers[-1]
    short = "" if pruning["complete"] else "short of target_sparsity; "
    return (
        f"sparsity             {pruning['pruned'] / pruning['prunable']:.2%}: {short}{pruning['pruned']:,} of "
        f"{pruning['prunable']:,} weights are zero; {low:.1%} of {least} to {high:.1%} of {most}"
    )


def standing(run_dir: str | Path) -> str:
    """A few lines about a run that was stopped: where it is, how it looks, what to type to go on."""
    report = [f"report     {run_dir}/{PAGE}"] if Path(run_dir, PAGE).exists() else []
    go_on = f"go on      gptmill train --resume {shlex.quote(f'--out_dir={run_dir}')}"
    return "\n".join([f"run folder {run_dir}", *report, go_on])


def told_again(run_dir: RunDir, plan: Plan, data: DataFacts) -> dict[str, Any]:
    """The summary of a run that is complete, once the command is found to ask for the same run."""
    from gptmill.train.facts import check_same_run

    done = run_dir.finished or {}
    pruning = mapping(done.get("pruning"))
    pruned, prunable = pruning.get("pruned"), pruning.get("prunable")
    if plan.pruning_method != "none" and isinstance(pruned, int) and isinstance(prunable, int):
        require_reachable(plan, run_dir.path, pruned, prunable)
    say(*check_same_run(run_dir.path, plan, data), f"{run_dir.path} is complete: nothing is left to train")
    return {**done, "run_dir": str(run_dir.path)}


def _rest(result: dict[str, Any]) -> str:
    """'; evaluation 5%, checkpoint 1%', the largest first, without what is less than half a percent.

    What is left of 100% is "other": in the split of the wall time, it holds parts of steps that count as trained.
    """
    beside = ("warmup", "evaluation", "checkpoint", "restart")  # the last is not in what an older gptmill recorded
    shares = {name: result["time_split"].get(name, 0.0) / result["wall_seconds"] for name in beside}
    shares["other"] = 1 - result["goodput"] - sum(shares.values())
    largest_first = sorted(shares, key=shares.__getitem__, reverse=True)
    words = [f"{name}{NO_BREAK}{shares[name]:.0%}" for name in largest_first if shares[name] >= 0.005]
    return f"; {', '.join(words)}" if words else ""
