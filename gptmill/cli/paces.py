"""How long a step of each arm takes here, measured where all arms are to train for the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gptmill.cli.arms import Settled, without_length
from gptmill.cli.study_options import StudyOptions
from gptmill.cli.studying import carry_out
from gptmill.study.design import Design, folder_of
from gptmill.study.record import Result, Run

PACE_STEPS, PACE_ROUNDS = 40, 3  # of the runs that measure the pace: the fastest round was disturbed least


def measured_paces(
    design: Design, settled: Sequence[Settled], study: Path, options: StudyOptions
) -> tuple[dict[str, float], int]:
    """Seconds of a step by arm, from short runs one after the other; and the exit code, 0 when all is known."""
    short = pace_runs(design, settled)
    results, code = carry_out(
        study,
        short,
        options=replace(options, parallel=1, stop_on_failure=False),
        n_runs=len(short),
        resolved=[each.resolved for each in settled],
        headline=pace,
    )
    return paces_of(settled, results), code


def pace_runs(design: Design, settled: Sequence[Settled]) -> list[Run]:
    """Short runs of every arm in turn, that tell how long a step of each takes here."""
    short = (f"--max_iters={PACE_STEPS}", f"--eval_interval={PACE_STEPS}", "--eval_iters=1")
    return [
        Run(f"pace/{folder_of(each.arm.name, n)}", (*without_length((*design.base, *each.arm.flags)), *short))
        for n in range(1, PACE_ROUNDS + 1)
        for each in settled
    ]


def paces_of(settled: Sequence[Settled], results: Sequence[Result]) -> dict[str, float]:
    """Seconds of a step by arm, in its fastest round; without the arms that have none."""
    found: dict[str, float] = {}
    for each in settled:
        speeds = [
            float(done.summary["tokens_per_second"])
            for done in results
            if done.run.id in {f"pace/{folder_of(each.arm.name, n)}" for n in range(1, PACE_ROUNDS + 1)}
            and done.summary.get("tokens_per_second")
        ]
        if speeds:
            found[each.arm.name] = each.plan.tokens_per_iter / max(speeds)
    return found


def pace(result: Result) -> str:
    speed = result.summary.get("tokens_per_second")
    return f"{speed:,.0f} tokens/s" if isinstance(speed, int | float) else "no pace"
