"""The page of one run: its verdict on top, then the numbers, the charts, and what was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gptmill.report.charts import figures
from gptmill.report.columns import MOST_LOOKS
from gptmill.report.loose import listing, mapping, number
from gptmill.report.page import render
from gptmill.report.runlog import RunLog, damage
from gptmill.report.settings import settings
from gptmill.report.verdict import judge
from gptmill.track.ranks import slowest
from gptmill.units import count, duration, flops, size

PARTS = {  # of the wall time: in words, and in the colours that the chart of a step uses
    "compute": ("compute", "--stack0"),
    "data": ("data", "--stack1"),
    "communication": ("communication", "--stack2"),
    "optimizer": ("optimizer", "--stack3"),
    "warmup": ("first steps, compiling included", "--run5"),
    "evaluation": ("evaluation", "--run3"),
    "checkpoint": ("checkpoints", "--run6"),
    "restart": ("processes lost and started again", "--run1"),
    "other": ("start, samples, recording, looks", "--run7"),
}
SHOWN_SAMPLES = 12  # of the steps that wrote samples: the last, and evenly among the earlier
CHARTS = {
    "loss": "losses",
    "speed": "speed",
    "mfu": "MFU",
    "memory": "memory",
    "times": "the time inside a step",
    "gradients": "gradients by layer",
    "updates": "weight updates",
}


def run_page(log: RunLog) -> bytes:
    drawn = figures(log)
    chosen, defaults = settings(log.config)
    parts = time_parts(log)
    every = ", ".join(log.frozen[:8])
    return render(
        "run.html",
        title=f"{log.name}: gptmill report",
        figures=drawn,
        log=log,
        verdict=judge(log),
        facts=facts(log),
        damage=damage(log),
        missing=", ".join(says for name, says in CHARTS.items() if name not in drawn),
        mfu_note=f"Of {log.mfu['hardware_peak_tflops']} TFLOP/s, dense." if log.mfu.get("hardware_peak_tflops") else "",
        looks_note=f"Before clipping; of more than {MOST_LOOKS} looks every second, fourth, ... is drawn.",
        frozen_note=f" Did not move at all: {every}." if every else "",
        reality=plan_and_reality(log),
        parts=parts,
        goodput=goodput(log),
        samples=some(log.samples),
        sparsity=sparsity(log),
        advice=[mapping(piece) for piece in listing(log.plan.get("advice"))],
        hardware=hardware(log),
        chosen=chosen,
        defaults=defaults,
        footnote="Pale lines are single steps, dark ones means of neighbouring steps. Of very many steps the least and the greatest "
        "of each bucket are drawn, so spikes stay. Training time leaves out evaluations, checkpoints and compiling.",
    )


def facts(log: RunLog) -> list[tuple[str, str]]:
    """The numbers that a reader looks for first; what is not known is left out."""
    axes, best = log.axes(), log.best_val_loss
    speed, mfu, of = log.steps.median_speed(), log.steps.median_mfu(), number(log.pruning.get("prunable"))
    found: dict[str, str | None] = {
        "best validation loss": f"{best:.4f}" if best is not None else None,
        "perplexity": f"{math.exp(best):.2f}" if best is not None and best < 700 else None,
        "steps": f"{log.steps.last_iter:,} of {log.max_iters:,}" if log.max_iters else f"{log.steps.last_iter:,}",
        "tokens": count(axes["tokens"][-1]) if "tokens" in axes else None,
        "training time": duration(axes["time"][-1]) if "time" in axes else None,
        "compute": flops(axes["flops"][-1]) if "flops" in axes else None,
        "speed": f"{speed:,.0f} tokens/s" if speed else None,
        "MFU": f"{mfu:.1%}" if mfu is not None else None,
        "peak memory": f"{peak:.2f} GB" if (peak := peak_gb(log)) is not None else None,
        "sparsity": f"{zeros / of:.1%}" if (zeros := number(log.pruning.get("pruned"))) >= 0 < of else None,
        "slowest process": slowest(log.ranks.result()),
        "parameters": count(log.plan["params"]) if number(log.plan.get("params")) > 0 else None,
        "stopped": str(log.stopped) if log.stopped else None,
    }
    return [(name, value) for name, value in found.items() if value is not None]


def sparsity(log: RunLog) -> list[tuple[str, str]]:
    """Every layer that can be pruned, and how much of it is."""
    layers = mapping(log.pruning.get("layers")).items()
    return [(str(name), f"{share:.2%}") for name, found in layers if 0 <= (share := number(found)) <= 1]


def peak_gb(log: RunLog) -> float | None:
    """The most the device ever held, or where the device is the host, the process [GB]."""
    for column in ("allocated_gb", "host_gb"):
        known = [value for value in log.steps[column].tolist() if value > 0]
        if known:
            return max(known)
    peak = number(mapping(log.summary).get("peak_memory")) / 1e9
    return peak if 0 < peak < math.inf else None


def plan_and_reality(log: RunLog) -> list[tuple[str, str, str, str]]:
    """What was planned, what the first steps took, and what the whole run took; '-' where that is not known."""
    if not log.first_steps:
        return []
    told = {name: number(value) for name, value in log.first_steps.items()}
    peak, step = peak_gb(log), log.steps.median_seconds()
    basis = f" ({log.first_steps.get('basis')})" if log.first_steps.get("basis") else ""

    def shown(value: float | None, words: Callable[[float], str]) -> str:
        return words(value) if value is not None and 0 < value < math.inf else "-"

    times = [shown(told.get(name), duration) for name in ("planned_step_seconds", "step_seconds", "planned_seconds")]
    planned_step, first_step, planned_run = times
    most = max(1e9 * (peak or 0), number(mapping(log.summary).get("peak_memory")), told.get("memory", 0.0))
    return [
        ("memory", shown(told.get("planned_memory"), size), shown(told.get("memory"), size), shown(most, size)),
        (f"a step{basis}", planned_step, first_step, shown(step, duration)),
        (f"the run, start and checkpoints included{basis}", planned_run, "-", shown(log.wall.seconds, duration)),
    ]


def time_parts(log: RunLog) -> list[dict[str, Any]]:
    """What the processes' time was spent on; empty where the records carry no times."""
    split = log.wall.split()
    total = sum(split.values())
    shown = [(name, spent) for name, spent in split.items() if total > 0 and spent >= 0.0005 * total]
    return [
        {
            "name": PARTS[name][0],
            "seconds": spent,
            "duration": duration(spent),
            "share": f"{spent / total:.1%}",
            "grow": round(1000 * spent / total),
            "colour": PARTS[name][1],
        }
        for name, spent in shown
    ]


def goodput(log: RunLog) -> str:
    """The share of time that went into steps that count."""
    if not log.wall.seconds:
        return ""
    seconds = log.steps.useful_seconds()
    processes = f" in {log.processes} processes" if log.processes > 1 else ""
    says = f"Goodput {min(1.0, seconds / log.wall.seconds):.0%}: {duration(seconds)} of {duration(log.wall.seconds)}{processes}"
    again = f" {duration(log.redone)} of steps had to be done again." if log.redone else ""
    return f"{says} went into training steps that count.{again}"


def some(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last step's samples first, then the earlier ones', thinned evenly."""
    newest_first = [
        {"iter": step["iter"], "samples": [sample for sample in step["samples"] if isinstance(sample, dict)]}
        for step in reversed(samples)
    ]
    stride = max(1, math.ceil(len(newest_first) / SHOWN_SAMPLES))
    return newest_first[::stride]


def hardware(log: RunLog) -> list[tuple[str, str]]:
    """What the run ran on, as planned and as measured."""
    plan, mfu = log.plan, log.mfu
    memory = number(plan.get("device_memory"))
    found = {
        "device": mfu.get("gpu_name") or plan.get("device_name"),
        "kind": plan.get("device"),
        "devices": plan.get("world_size"),
        "memory": size(memory) if memory > 0 else None,
        "precision": mfu.get("precision") or plan.get("dtype"),
        "compiled": plan.get("compile"),
        "attention": mapping(plan.get("shape")).get("attention_backend"),
    }
    return [(name, str(value)) for name, value in found.items() if value is not None]
