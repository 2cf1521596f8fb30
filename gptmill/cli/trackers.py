"""TensorBoard and Weights & Biases, for runs that ask for them: what stands in their way is found here, without torch."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from gptmill.cli.say import say
from gptmill.config.resolve import Resolved
from gptmill.config.wording import blame
from gptmill.errors import UserError
from gptmill.plan.types import Plan
from gptmill.track.outbox import Outbox, trial
from gptmill.track.records import without_nan

LOGIN_SECONDS = 30.0  # longest wait for W&B's server to answer


@dataclass(frozen=True)
class Kind:
    """A tracker: its name for people, the package it needs, module:class, and what to start to see whether it can work."""

    label: str
    package: str
    tracker: str
    rehearsal: str | None = None

    def is_installed(self) -> bool:
        """Looked up without importing it. A folder of that name, such as W&B leaves behind, has no origin."""
        found = PathFinder.find_spec(self.package)
        return found is not None and found.origin is not None


KINDS = {
    "tensorboard_log": Kind("TensorBoard", "tensorboard", "gptmill.track.tensorboard:TensorBoard"),
    "wandb_log": Kind(
        "Weights & Biases", "wandb", "gptmill.track.wandb:WandbRun", rehearsal="gptmill.track.wandb:Login"
    ),
}


def require_trackers(resolved: Resolved) -> None:
    """See that trackers which flags ask for can work. What a file asks for is tried, and never in the way.

    Raises:
        UserError: a line for each that cannot, with what to install or how to log in.
    """
    problems = []
    for key, kind in KINDS.items():
        origin = resolved.origins[key]
        if not getattr(resolved.config, key) or not origin.startswith("--"):
            continue
        where = blame(origin, key, True)
        if not kind.is_installed():
            problems.append(f"{where}: {missing(key, kind)}")
        elif kind.rehearsal and (why := trial(kind.rehearsal, LOGIN_SECONDS)):
            problems.append(f"{where}: {why.rstrip('.')}; try `wandb login` or WANDB_MODE=offline")
    if problems:
        raise UserError(*problems)


def trackers(resolved: Resolved, plan: Plan, run_dir: Path) -> list[Outbox]:
    """Those asked for, started. One that cannot be is told in a line."""
    start = {
        "run_dir": str(run_dir.absolute()),
        "config": without_nan(resolved.config.model_dump()),
        "plan": without_nan(asdict(plan)),
        "project": plan.wandb_project,
        "entity": plan.wandb_entity,
        "name": plan.wandb_run_name or run_dir.absolute().name,
        "pid": os.getpid(),
    }
    started = []
    for key, kind in KINDS.items():
        if not getattr(plan, key):
            continue
        if not kind.is_installed():
            say(f"{blame(resolved.origins[key], key, True)}: {missing(key, kind)}; going on without it")
            continue
        try:
            started.append(Outbox(kind.label, kind.tracker, start))
        except OSError as error:
            say(f"{kind.label} cannot be started: {error.strerror}; going on without it")
    return started


def missing(key: str, kind: Kind) -> str:
    return f"the package {kind.package} is not installed; `pip install {kind.package}`, or leave {key} out"
