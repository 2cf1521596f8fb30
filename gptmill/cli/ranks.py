"""The processes of one run: the first settles everything, keeps the records and saves; the others compute beside it."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill.cli.own_parts import import_parts
from gptmill.cli.parts import new_state
from gptmill.cli.pretrained import load_into
from gptmill.cli.say import say
from gptmill.errors import Diverged, GptmillError
from gptmill.events import PlanChanged
from gptmill.parallel.launch import Place, heartbeat_folder, joined, tell, use_own_gpu
from gptmill.plan.types import Plan
from gptmill.supervise.heartbeat import Heartbeat
from gptmill.track.describe import plan_changes
from gptmill.track.jsonl import has_saved, note
from gptmill.track.run_dir import RunDir

if TYPE_CHECKING:
    import numpy as np

    from gptmill.data.batches import Batches
    from gptmill.data.tokens import Tokens
    from gptmill.parallel.single import Single
    from gptmill.train.checkpointer import Checkpointer
    from gptmill.train.shards import Company
    from gptmill.train.state import TrainState


@dataclass(frozen=True)
class Material:
    """What every process of a run needs to compute.

    Args:
        company: the processes that write checkpoints together; None where the first one has all there is to write.
        tokens: of the splits 'train' and 'val'.
        eval_windows: fixed windows [N, T + 1] of both.
    """

    tokens: dict[str, Tokens]
    eval_windows: dict[str, np.ndarray]
    batches: Batches
    state: TrainState
    engine: Single
    heartbeat: Heartbeat
    company: Company | None = None


def gather_material(plan: Plan, place: Place) -> Material:
    """Open the data and build the model as it is before the first step."""
    from gptmill.data.batches import Batches, fixed_batches
    from gptmill.data.shards import open_tokens
    from gptmill.parallel.engines import engine_of
    from gptmill.train.device import end_before_others

    end_before_others()
    use_own_gpu(place, plan.device)
    tokens = {
        split: open_tokens(Path(plan.data_path) / f"{split}.bin", plan.shape.vocab_size) for split in ("train", "val")
    }
    windows = {
        split: fixed_batches(tokens[split], plan.shape.block_size, plan.seed, plan.eval_sequences)
        for split in ("train", "val")
    }
    batches = Batches(tokens["train"], plan.shape.block_size, plan.seed, plan.sampling)
    engine = engine_of(plan, place)
    company = None
    if engine.sharded:
        from gptmill.train.shards import Company

        company = Company()
    state = new_state(plan, engine)
    heartbeat = Heartbeat(heartbeat_folder(), place.rank, plan, state)
    return Material(tokens, windows, batches, state, engine, heartbeat, company)


def begin(found: Material, run_dir: RunDir, plan: Plan, facts: dict[str, Any]) -> None:
    """In the first process: put the checkpoint that the run goes on from into the state, and tell the others of it."""
    from gptmill.data.overlap import overlap
    from gptmill.train.checkpoint import resume
    from gptmill.train.members import numbers_of

    checkpoint, data = None, Path(plan.data_path)
    found.heartbeat.name_run(run_dir.path)
    if not run_dir.resumed and not (data / "meta.json").exists():  # `prepare`, which writes one, has looked
        remark = overlap(found.tokens["train"], found.tokens["val"]).notice()
        say(f"{data}: {remark}" if remark else None)
    if run_dir.resumed or plan.checkpoint_file:
        saved_before = has_saved(run_dir.path)
        checkpoint, notices = resume(run_dir.path, found.state, facts, saved_before, plan.checkpoint_file)
        say(*notices)
        if changes := plan_changes(run_dir.path, plan):
            note(run_dir.path, PlanChanged(found.state.iter, changes))
    weights = plan.weights if checkpoint is None else None
    tell(found.engine.place, {"checkpoint": checkpoint, "weights": weights, "numbers": numbers_of(found.state)})
    if weights is not None:
        load_into(found.state.model, weights)
        say(f"begins with the weights of {weights}")


def checkpointer(run_dir: Path, plan: Plan, found: Material, facts: dict[str, Any]) -> Checkpointer:
    """In the first process: what saves the run."""
    from gptmill.train.checkpointer import Checkpointer

    keep, delete = plan.keep_last_n_snapshots, plan.delete_snapshots_after_training
    return Checkpointer(run_dir, found.state, facts, keep, delete, found.company)


def follow(place: Place, modules: list[str] | None) -> int:
    """Take part in a run that the first process has settled. Says nothing but what only this process knows.

    Args:
        modules: parts of one's own to import, as --import named them.
    """
    import_parts(modules)
    try:
        with joined(place):
            plan = tell(place)
            return 0 if plan is None else _compute(plan, place)
    except Diverged as error:  # the first process says it
        return error.exit_code
    except GptmillError as error:
        who = f"rank {place.rank}: "
        raise type(error)(*(who + problem.removeprefix(who) for problem in error.problems)) from error


def _compute(plan: Plan, place: Place) -> int:
    from gptmill.cli.auto_batch import try_batch_size
    from gptmill.events import Stopped
    from gptmill.train.follower import Follower
    from gptmill.train.loading import load
    from gptmill.train.loop import run
    from gptmill.train.members import restore_numbers
    from gptmill.train.signals import StopOnSignal

    found = gather_material(plan, place)
    plan = try_batch_size(plan, found, asked=plan.memory_target is not None)
    begins: dict[str, Any] = tell(place)
    if begins["checkpoint"] is not None:
        load(begins["checkpoint"], found.state)
        restore_numbers(begins["checkpoint"], found.state, begins["numbers"])
    elif begins["weights"] is not None:
        load_into(found.state.model, begins["weights"])
    signal, follower = None, Follower(found.state, found.company) if found.company else None
    with StopOnSignal(patient=True) as stop, closing(follower) if follower else nullcontext():
        events = run(
            plan, found.state, found.engine, take=found.batches.take, eval_windows=found.eval_windows, stop=stop
        )
        for event in found.heartbeat.over(events):
            signal = event.signal if isinstance(event, Stopped) else None
            if follower:
                follower(event)
    return 128 + signal if signal else 0
