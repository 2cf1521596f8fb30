"""From a valid config to a finished run. The rooms meet here, in the order a batch passes them.

plan -> data -> run folder are settled first, without torch, so that what cannot be is refused before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gptmill.cli.closing import conclude, standing, told_again
from gptmill.cli.dataset import ready_data
from gptmill.cli.device import usable_machine
from gptmill.cli.parts import settle
from gptmill.cli.plan_page import remarks
from gptmill.cli.preflight import check_fits
from gptmill.cli.pretrained import ready_start, start_tokenizer
from gptmill.cli.profiling import Profile, ProfileRecorder, check_steps
from gptmill.cli.ranks import begin, checkpointer, gather_material
from gptmill.cli.reality import PlanAndReality
from gptmill.cli.refusals import refusals_told
from gptmill.cli.report import report_at_end
from gptmill.cli.resuming import check_resumable
from gptmill.cli.say import say
from gptmill.cli.trackers import require_trackers, trackers
from gptmill.config.resolve import Resolved
from gptmill.data.facts import dataset_tokenizer, facts_notice
from gptmill.errors import Diverged
from gptmill.parallel.launch import Place, find_place, joined, tell
from gptmill.plan.hardware import share_of
from gptmill.plan.types import DataFacts, Plan
from gptmill.track.run_dir import RunDir, open_run_dir
from gptmill.train.early_stop import is_complete

Furnish = Callable[[Path], None]  # adds to a run folder what an entrance promises to be there


def carry_out(
    resolved: Resolved,
    *,
    json: bool,
    overwrite: bool,
    force: bool = False,
    profile: Profile,
    furnish: Furnish = lambda _: None,
) -> int:
    """Settle the plan, find the run folder, train."""
    config, place = resolved.config, find_place()
    with refusals_told(place):
        check_resumable(resolved)
        require_trackers(resolved)
        machine, data = share_of(usable_machine(resolved), place.local_world_size), ready_data(config)
        plan = settle(resolved, config, data, machine, place.world_size)
        check_steps(profile, plan)
        ready_start(plan, resolved, data)
        if not force:
            check_fits(plan, resolved.own.run if resolved.own else config.out_dir)
        run_dir = open_run_dir(
            resolved.own.run if resolved.own else config.out_dir,
            explicit=resolved.own is not None or resolved.origins["out_dir"].startswith("--"),
            resume=config.init_from == "resume",
            overwrite=overwrite,
            complete=partial(is_complete, plan),
        )
    say(*resolved.notices, facts_notice(data), *remarks(plan), *run_dir.notices)
    try:
        with joined(place):
            tell(place, None if run_dir.finished else plan)
            if run_dir.finished:
                result, signal = told_again(run_dir, plan, data), None
            else:
                result, signal = fit(resolved, plan, data, run_dir, place, furnish, profile)
    except Diverged:
        say(standing(run_dir.path))
        raise
    finally:
        run_dir.release()
    return conclude(result, signal, json=json)


def fit(
    resolved: Resolved, plan: Plan, data: DataFacts, run_dir: RunDir, place: Place, furnish: Furnish, profile: Profile
) -> tuple[dict[str, Any], int | None]:
    """Carry out the plan in the run folder.

    Returns:
        the summary that --json prints, and the signal that ended the run early, if one did.
    """
    from gptmill.cli.auto_batch import try_batch_size
    from gptmill.cli.recording import Recorder, Recording, held, meter, summary_of, watchers
    from gptmill.cli.samples import SampleRecorder
    from gptmill.track.describe import describe
    from gptmill.train.facts import run_facts
    from gptmill.train.loop import run
    from gptmill.train.signals import StopOnSignal

    found = gather_material(plan, place)
    plan = try_batch_size(plan, found, resolved.config.auto_batch_size)
    state, facts = found.state, run_facts(plan, data)
    begin(found, run_dir, plan, facts)
    tokenizer = dataset_tokenizer(data) or start_tokenizer(plan, resolved.own)
    # after the checkpoint was found to be this run's: what a refused command asked for must not be on record
    describe(
        run_dir.path, resolved.config.model_dump(), resolved.first_origins(), plan, getattr(tokenizer, "save", None)
    )
    furnish(run_dir.path)

    summary = summary_of(plan, run_dir.path, found)
    stop = StopOnSignal(patient=place.world_size > 1)
    recorders: list[Recorder] = [
        *watchers(plan, resolved.config, run_dir.path, state, summary),
        *trackers(resolved, plan, run_dir.path),
        checkpointer(run_dir.path, plan, found, facts),
        PlanAndReality(plan, held(plan)),
        *([SampleRecorder(state, tokenizer, plan, stop)] if plan.generate_interval else []),
        *([ProfileRecorder(run_dir.path, profile, plan)] if profile else []),
    ]
    try:
        with stop, Recording(recorders, meter(plan)) as recording:
            for event in found.heartbeat.over(
                run(plan, state, found.engine, take=found.batches.take, eval_windows=found.eval_windows, stop=stop)
            ):
                recording.tell(event)
    finally:
        report_at_end(run_dir.path)  # also of a run that a policy stopped: then it is wanted most
    return summary.result(), found.engine.listen(stop).signal
