"""Save a TrainState so that a kill at any instant leaves a good checkpoint, and go on from one.

Commit order: write into a temporary folder, fsync each file and the folder, rename, fsync the parent, read back.
Tensors are safetensors and the rest is JSON: nothing in a checkpoint can execute.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill import durable, units
from gptmill.errors import CheckpointError, GptmillError
from gptmill.optim.averaging import averaged
from gptmill.plan.types import Plan
from gptmill.train import manifest as manifests
from gptmill.train.capture import Capture, NotFinite, capture, refuse_unless_finite
from gptmill.train.early_stop import EarlyStop, stop_reason
from gptmill.train.facts import compare
from gptmill.train.loading import load, weights_in
from gptmill.train.manifest import MANIFEST, Manifest, newest_good
from gptmill.train.members import (
    sha256_of,
    weights_sha256,
)
from gptmill.train.sharing import is_split
from gptmill.train.state import TrainState
from gptmill.train.tensorfile import write_tensors

if TYPE_CHECKING:
    from gptmill.train.shards import Company


@dataclass(frozen=True)
class SavedCheckpoint:
    path: Path
    seconds: float
    n_bytes: int


def save(run_dir: Path, state: TrainState, facts: dict[str, Any], *, best: bool = False) -> SavedCheckpoint:
    """Commit the state as it is now; training waits meanwhile."""
    return commit(run_dir, capture(state), facts, best=best)


def commit(
    run_dir: Path, taken: Capture, facts: dict[str, Any], *, best: bool = False, company: Company | None = None
) -> SavedCheckpoint:
    """Commit what was taken as ``checkpoints/step_<iter>`` and prove it by reading it back.

    Args:
        facts: JSON values that tell what this run is; compared on resume (facts.py).
        company: the other processes that hold a share of it, and write that.

    Raises:
        GptmillError: it could not be written. Older checkpoints are untouched and nothing half-written stays; the
            message names the path, the system's reason and the free space.
    """
    began = time.perf_counter()
    parent = run_dir / "checkpoints"
    target = parent / manifests.step_name(taken.iter)
    waiting = company  # until it is told where to write, or that it need not

    def write(fresh: Path) -> None:
        nonlocal waiting
        if company is None:
            files = {
                manifests.WEIGHTS: write_tensors(fresh / manifests.WEIGHTS, taken.weights),
                manifests.MOMENTS: write_tensors(fresh / manifests.MOMENTS, taken.moments),
            }
            if taken.pruning:
                files[manifests.PRUNING] = write_tensors(fresh / manifests.PRUNING, taken.pruning)
        else:
            waiting = None
            company.lead(fresh, taken)
            files = {name: manifests.fingerprint_file(fresh / name) for name in os.listdir(fresh)}
            for name in files:
                os.chmod(fresh / name, 0o600)
        numbers = durable.canonical_json(taken.numbers)
        durable.create(fresh / manifests.NUMBERS, numbers)
        files[manifests.NUMBERS] = manifests.fingerprint(numbers)
        durable.create(fresh / MANIFEST, manifests.encode(Manifest(taken.iter, best, files, facts)))

    try:
        if company is None:
            refuse_unless_finite(taken.not_finite())
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _commit(target, write)
    except NotFinite as error:
        raise GptmillError(f"{target}: not saved: {error}") from error
    except OSError as error:
        raise GptmillError(f"{target}: not saved: {error.strerror or error}{_room(parent)}") from error
    finally:
        if waiting is not None:
            waiting.call_off()
    problems = manifests.verify(target)
    if problems:
        raise GptmillError(*(f"{problem}, read back just after it was written" for problem in problems))
    n_bytes = sum(file.stat().st_size for file in target.iterdir())
    return SavedCheckpoint(target, time.perf_counter() - began, n_bytes)


def resume(
    run_dir: Path, state: TrainState, facts: dict[str, Any], saved_before: bool = False, start: str | None = None
) -> tuple[Path | None, list[str]]:
    """Continue from the newest good checkpoint; returns its folder, and sentences a person should see.

    Without any checkpoint the state stays as it is, and the sentence says so.

    Args:
        saved_before: the run's record tells of a checkpoint, so there must be one.
        start: checkpoint folder to begin with as long as the run has none of its own.

    Raises:
        CheckpointError: there are checkpoints, and none can be used.
        UserError: the checkpoint belongs to another model, dataset or optimizer; one line names the keys.
    """
    path, problems = newest_good(run_dir)
    if path is None and problems:
        raise CheckpointError(*problems, f"{run_dir}: no usable checkpoint; --overwrite starts this run again")
    if path is None and saved_before:
        raise CheckpointError(
            f"{run_dir}: its checkpoints are gone; put them back, or --overwrite starts this run again"
        )
    if path is None and start:
        return _begin(Path(start), state, facts)
    if path is None:
        return None, [f"{run_dir} has no checkpoint yet: starting from scratch"]
    notices = problems + compare(manifests.read_manifest(path).facts, facts, path)
    load(path, state)
    return path, [*notices, f"resumed from {path}"]


def _begin(given: Path, state: TrainState, facts: dict[str, Any]) -> tuple[Path, list[str]]:
    """Take weights, moments and position from another run's checkpoint; what was best there is not of this run."""
    folder = Path(os.path.realpath(given))  # best is a link, and a checkpoint knows its own name
    same = "checkpoint_file begins a run of the same model, data and optimizer only"
    notices = compare(manifests.read_manifest(folder).facts, facts, given, same)
    load(folder, state)
    state.best_val_loss, state.evaluated, state.early_stop = None, -1, EarlyStop()
    return folder, [*notices, f"starts from {given}, after step {state.iter}"]


def result_sha256(run_dir: Path, state: TrainState, plan: Plan) -> str | None:
    """``weights_sha256`` of what a run leaves: the best checkpoint's where early stopping ended it, else the model's.

    None where this process has a share of the weights only, and nothing was trained, so that nothing was saved.

    The state itself is left as it is, and so is the newest checkpoint: under other rules the run goes on as though it
    had never stopped.
    """
    early = state.iter < plan.max_iters and stop_reason(state.early_stop, plan) is not None
    folder = Path(os.path.realpath(run_dir / "best")) if early and plan.early_stop_restore_best else None
    if folder is not None and folder.exists():
        with contextlib.suppress(CheckpointError):  # damaged: `sample` falls back to the last as well
            return sha256_of(weights_in(folder, manifests.read_manifest(folder), state.model))
    if is_split(state.model):  # this process has no more than its share; the run's last checkpoint has all
        folder = run_dir / "checkpoints" / manifests.step_name(state.iter)
        if not folder.exists():
            return None
        return sha256_of(weights_in(folder, manifests.read_manifest(folder), state.model))
    with averaged(state.optimizer):
        return weights_sha256(state.model)


def _commit(target: Path, write: Callable[[Path], None]) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    aside: Path | None = None
    try:
        write(fresh)
        durable.sync_folder(fresh)
        if os.path.lexists(target):  # a damaged one that this run went back behind
            aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            os.rename(target, aside / "old")
        os.rename(fresh, target)
        durable.sync_folder(target.parent)
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _room(folder: Path) -> str:
    try:
        return f" ({units.size(durable.free_bytes(folder))} free on this disk)"
    except OSError:
        return ""
