"""What the runs of an ablation came to: their records folded into one result, which tables, page and --json show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gptmill.report.compare import differences, incomparable, unlike_their_base
from gptmill.report.loose import mapping
from gptmill.report.runlog import RunLog, damage
from gptmill.study.design import Design
from gptmill.study.findings import Finding, find, hopeless
from gptmill.study.statistics import ALPHA

if TYPE_CHECKING:
    import numpy as np

Logs = Mapping[str, Mapping[int, RunLog]]  # by arm and seed
OWN = ("seed", "init_from")  # of single runs: the study sets the seed, and init_from of one that was stopped is resume


def final_loss(log: RunLog) -> float | None:
    """Validation loss after the last step; None where that was not evaluated."""
    iters, losses = log.eval_curve()
    return losses[-1] if losses and iters[-1] == log.steps.last_iter else None


def losses_of(logs: Mapping[int, RunLog], failed: Mapping[int, str]) -> dict[int, float | None]:
    """Final losses of the runs that have ended, by seed; None of one that ended without."""
    ended = {seed: final_loss(log) for seed, log in logs.items() if log.summary is not None}
    return {**ended, **dict.fromkeys(failed)}


def outcome(design: Design, logs: Logs, failed: Mapping[str, Mapping[int, str]], seeds: list[int]) -> dict[str, Any]:
    """What ``gptmill ablate --json`` prints. Losses in nats/token, seconds, FLOP; what is not known is None.

    Args:
        logs: of the runs that were begun.
        failed: why a run ended without a result, by arm and seed.
        seeds: those that every arm is to have.
    """
    losses = {arm.name: losses_of(logs.get(arm.name, {}), failed.get(arm.name, {})) for arm in design.arms}
    base = losses[design.baseline]
    dropped = {
        name: len(known)
        for name, known in losses.items()
        if design.drop_hopeless and name != design.baseline and len(known) < len(seeds) and hopeless(known, base)
    }
    every = [log for runs in logs.values() for log in runs.values()]
    first = [next(iter(runs.values())) for runs in logs.values() if runs]
    why_not = incomparable(every)
    findings = find(losses, design.baseline, design.detect, dropped)
    return {
        "baseline": design.baseline,
        "view": design.view,
        "seeds": seeds,
        "detect": design.detect,
        "alpha": ALPHA,
        "arms": [
            arm_facts(finding, arm.flags, logs.get(arm.name, {}), failed.get(arm.name, {}), not why_not)
            for finding, arm in zip(findings, design.arms)
        ],
        "evaluation": evaluation(first[0]) if first else None,
        "differences": _by_arm(logs, differences(first)),
        "comparable": not why_not,
        "warnings": [
            *why_not,
            *uneven(logs),
            *(f"{log.name}: {says}" for log in every if (says := damage(log))),
            *unlike_their_base(first).values(),
        ],
    }


def arm_facts(
    finding: Finding, flags: tuple[str, ...], logs: Mapping[int, RunLog], failed: Mapping[int, str], comparable: bool
) -> dict[str, Any]:
    """One arm in numbers."""
    found = finding.comparison if comparable else None
    plan = next((log.plan for log in logs.values()), {})
    verdict, says = (finding.verdict, finding.says) if comparable else ("not comparable", "see the warnings")
    return {
        "arm": finding.arm,
        "settings": list(flags),
        "verdict": verdict,
        "says": says,
        "difference": found and found.difference,
        "low": found and found.low,
        "high": found and found.high,
        "p": found and found.p,
        "p_holm": finding.p_holm if comparable else None,
        "effect_size": found and found.effect,
        "spread_of_differences": found and found.spread,
        "paired": found and found.paired,
        "seeds": found.seeds if found else len(finding.losses),
        "seeds_needed": finding.needed if comparable else None,
        "val_loss": finding.mean,
        "val_loss_spread": finding.spread,
        "architecture": plan.get("architecture"),
        "params": plan.get("params"),
        "flops_per_token": plan.get("flops_per_token"),
        "runs": [run_facts(seed, logs[seed], failed.get(seed)) for seed in sorted(logs)],
    }


def run_facts(seed: int, log: RunLog, why: str | None) -> dict[str, Any]:
    axes = log.axes()
    return {
        "seed": seed,
        "run": log.name,
        "val_loss": final_loss(log) if log.summary is not None else None,
        "best_val_loss": log.best_val_loss,
        "iters": log.steps.last_iter,
        **{name: float(axes[axis][-1]) if axis in axes else None
           for name, axis in (("tokens", "tokens"), ("flops", "flops"), ("seconds", "time"))},
        "finished": log.summary is not None,
        "failed": why,
    }  # fmt: skip


def evaluation(log: RunLog) -> dict[str, Any] | None:
    """How much validation text an evaluation reads: what it does not read is a part of the spread between seeds."""
    sequences, val_tokens = log.plan.get("eval_sequences"), log.plan.get("val_tokens")
    length = mapping(log.plan.get("shape")).get("block_size")
    if not (isinstance(sequences, int) and isinstance(val_tokens, int) and isinstance(length, int)):
        return None
    there = max(1, (val_tokens - 1) // length)
    read = min(sequences, there)
    return {"sequences": read, "of": there, "tokens": read * length, "share": read / there}


def uneven(logs: Logs) -> list[str]:
    """What makes the evaluations of the arms unlike each other without making them incomparable."""
    found = {name: evaluation(log) for name, runs in logs.items() for log in list(runs.values())[:1]}
    sizes = {name: (each["sequences"], each["tokens"]) for name, each in found.items() if each}
    says = []
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {n:,} of {tokens // n} tokens" for name, (n, tokens) in sizes.items())
        says.append(f"evaluations differ in their sequences ({listed}): pairs have less in common")
    return says


def curve(runs: Mapping[int, RunLog], axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the evaluations lie that every run of an arm has: x [N], mean over the seeds; validation losses [seeds, N]."""
    import numpy as np

    curves = [dict(zip(log.eval_curve()[0], zip(*log.eval_curve(axis)))) for log in runs.values() if log.axes()]
    common = sorted(set.intersection(*(set(each) for each in curves))) if curves else []
    points_SN2 = np.array([[each[iter] for iter in common] for each in curves])
    if not points_SN2.size:
        return np.array([]), np.empty((len(curves), 0))
    return points_SN2[..., 0].mean(axis=0), points_SN2[..., 1]


def lead(arm: Mapping[int, RunLog], baseline: Mapping[int, RunLog], axis: str) -> tuple[np.ndarray, np.ndarray]:
    """The arm's loss minus the baseline's of the same seed, at the arm's evaluations: x [N], differences [seeds, N].

    Between two evaluations the baseline's loss lies on a straight line; beyond its last nothing is known.
    """
    import numpy as np

    shared = sorted(arm.keys() & baseline.keys())
    x_N, losses_SN = curve({seed: arm[seed] for seed in shared}, axis)
    base_M, base_losses_SM = curve({seed: baseline[seed] for seed in shared}, axis)
    if not x_N.size or not base_M.size:
        return np.array([]), np.empty((0, 0))
    inside = x_N <= base_M[-1] * (1 + 1e-9)
    base_SN = np.array([np.interp(x_N[inside], base_M, losses_M) for losses_M in base_losses_SM])
    return x_N[inside], losses_SN[:, inside] - base_SN


def _by_arm(logs: Logs, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Differences between the arms' first runs, by the names of the arms."""
    names = {next(iter(runs.values())).name: arm for arm, runs in logs.items() if runs}
    rows = {key: {names[run]: value for run, value in row.items()} for key, row in found.items() if key not in OWN}
    began = {arm: next(iter(runs.values())).plan.get("weights") or "scratch" for arm, runs in logs.items() if runs}
    return rows | ({"init_from": began} if len(set(began.values())) > 1 else {})
