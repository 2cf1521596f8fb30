"""Weights & Biases: one W&B run for a run folder, however many processes it took.

What W&B itself reads from its environment and settings files holds: WANDB_MODE=offline, WANDB_API_KEY, WANDB_BASE_URL.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb

from gptmill.durable import replace
from gptmill.track.scalars import scalars

FOLDER = "wandb"  # in the run folder; what W&B makes there it names itself
ID = "gptmill-run-id"


class WandbRun:
    """The tracker (track/inbox.py).

    Args:
        start: ``run_dir``, ``config`` with every key, ``plan``, ``project``, ``name``, ``entity``, and ``pid`` of the
            process that trains, whose CPU, memory and GPU are to be shown.
    """

    def __init__(self, start: dict[str, Any], say: Callable[[str], None]) -> None:
        run_dir = Path(start["run_dir"])
        self._run = wandb.init(
            project=start["project"],
            entity=start["entity"],
            name=start["name"],
            id=run_id(run_dir),
            resume="allow",
            dir=run_dir,
            config={**start["config"], "plan": start["plan"]},
            settings=wandb.Settings(console="off", silent=True, x_stats_pid=start["pid"]),
        )
        if self._run.offline:
            say(f"offline; `wandb sync {Path(self._run.dir).parent}` uploads it")
        elif self._run.url:
            say(self._run.url)
        self._exit_code = 1  # of a run that ends without a word

    def __call__(self, fields: dict[str, Any]) -> None:
        step = fields["iter"]
        match fields["event"]:
            case "samples":
                rows = [[step, sample["prompt"], sample["text"]] for sample in fields["samples"]]
                self._run.log({"samples": wandb.Table(columns=["iter", "prompt", "text"], data=rows)}, step=step)
            case "alarm":
                self._run.alert(title=fields["kind"], text=fields["says"])
            case "run_done":
                self._run.summary["best_val_loss"] = fields["best_val_loss"]
                self._exit_code = 0
            case "stopped":
                self._exit_code = 128 + fields["signal"]
            case _:
                if numbers := scalars(fields):
                    self._run.log(numbers, step=step)

    def close(self) -> None:
        self._run.finish(exit_code=self._exit_code)


def run_id(run_dir: Path) -> str:
    """The W&B run that this folder has, or a new one; kept in the folder, so that a resumed run goes on in it."""
    path = run_dir / FOLDER / ID
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        replace(path, secrets.token_hex(4).encode())
    return path.read_text().strip()


class Login:
    """Raises where a run could not be logged online; asks nobody for a key, since stdin is no terminal here."""

    def __init__(self, start: dict[str, Any], say: Callable[[str], None]) -> None:
        if wandb.setup().settings.mode not in ("offline", "dryrun", "disabled"):
            wandb.login(verify=True)

    def close(self) -> None: ...
