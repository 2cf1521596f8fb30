"""An ablation as tables of text, for a terminal and for its page."""

from __future__ import annotations

from typing import Any

from gptmill.report.tables import NONE, Table, as_text, known
from gptmill.units import count, duration, flops


def tables(found: dict[str, Any]) -> list[Table]:
    """What ``outcome`` found: the arms, and what was set differently."""
    return [arms(found), *([different(found)] if found["differences"] else [])]


def arms(found: dict[str, Any]) -> Table:
    """A row for each arm; differences are against the baseline."""
    rows = []
    for arm in found["arms"]:
        interval = f"[{arm['low']:+.4f}, {arm['high']:+.4f}]" if arm["low"] is not None else NONE
        rows.append([
            arm["arm"],
            known(arm["val_loss"], "{:.4f}"),
            known(arm["difference"], "{:+.4f}"),
            interval,
            known(arm["p_holm"], "{:.3f}") if (arm["p_holm"] or 1) >= 0.001 else "< 0.001",
            str(arm["seeds"]),
        ])  # fmt: skip
    header = ["arm", "val loss", "difference", "95 % interval", "p (Holm)", "seeds"]
    equal = {"tokens": "tokens", "flops": "training FLOP", "time": "training time"}[found["view"]]
    title = f"Final validation loss [nats/token], differences from {found['baseline']} at equal {equal}"
    return Table(title, header, rows, 1, "; ".join(filter(None, [*found["warnings"], noise(found)])))


def noise(found: dict[str, Any]) -> str:
    """A sentence without its end about what the choice of validation text does to the differences; '' if not known."""
    known_of = [
        (arm["evaluation_noise"], arm["spread_of_differences"])
        for arm in found["arms"]
        if arm.get("evaluation_noise") is not None and arm["spread_of_differences"]
    ]
    if not known_of:
        return ""
    own, spread = (max(column) for column in zip(*known_of))
    if not own:
        return "evaluations read all of the validation text, so they add no noise of their own"
    more = "; a larger eval_iters would narrow the intervals" if any(2 * o > s for o, s in known_of) else ""
    return (
        f"that an evaluation reads a part of the text moves the difference of a pair by {own:.2g} at most (one standard error); "
        f"between seeds it spreads by up to {spread:.2g}, in which that is included{more}"
    )


def spent(found: dict[str, Any]) -> Table:
    """What the arms cost: means over their runs."""
    rows = []
    for arm in found["arms"]:
        done = [run for run in arm["runs"] if run["finished"]]
        means = {
            name: sum(run[name] for run in done) / len(done) if done and all(run[name] for run in done) else None
            for name in ("iters", "tokens", "flops", "seconds")
        }
        rows.append([
            arm["arm"],
            arm["architecture"] or NONE,
            count(arm["params"]) if arm["params"] else NONE,
            known(means["iters"], "{:,.0f}"),
            count(means["tokens"]) if means["tokens"] else NONE,
            flops(means["flops"]) if means["flops"] else NONE,
            duration(means["seconds"]) if means["seconds"] else NONE,
        ])  # fmt: skip
    header = ["arm", "architecture", "parameters", "steps", "tokens", "training FLOP", "training time"]
    return Table("What a run of each arm took", header, rows, 2)


def every_run(found: dict[str, Any]) -> Table:
    rows = [
        [arm["arm"], str(run["seed"]), known(run["val_loss"], "{:.4f}"), known(run["best_val_loss"], "{:.4f}"),
         f"{run['iters']:,}", run["failed"] or ("" if run["finished"] else "not finished")]
        for arm in found["arms"] for run in arm["runs"]
    ]  # fmt: skip
    return Table("Every run", ["arm", "seed", "final val loss", "best", "steps", ""], rows, 1)


def different(found: dict[str, Any]) -> Table:
    names = [arm["arm"] for arm in found["arms"]]
    rows = [
        [key, *(as_text(row[name]) if name in row else NONE for name in names)]
        for key, row in found["differences"].items()
    ]
    return Table("What was set differently", ["key", *names], rows, 1 + len(names))
