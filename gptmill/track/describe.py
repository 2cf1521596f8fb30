"""The files that let a run be told from its folder alone: what was asked, what was planned, which code did it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gptmill
from gptmill.durable import canonical_json, create, replace
from gptmill.plain import read_plain
from gptmill.plan.types import Plan
from gptmill.track.records import without_nan

CONFIG = "config.json"
FORMAT = "gptmill-run"  # in config.json; what makes a folder recognisable as ours, and so safe to overwrite
ROOMS = ("data", "model", "optim", "parallel", "train")  # what a run computes depends on these

# Half-written files of a killed process, and every name we ever write into a run folder.
TEMPORARY = re.compile(r"\.(config\.json|plan\.json|report\.html|run_[\w-]+\.json|best|source|tokenizer|import)\.\w{8}")
OURS = re.compile(
    r"config\.json|plan\.json|metrics\.jsonl|run_[\w-]+\.json|console\.log|checkpoints|best|models|snapshots|tensorboard|wandb|report\.html|\.?trace\.json\.gz"
    r"|source|tokenizer|stacks_step_\d+\.txt|" + TEMPORARY.pattern
)


def describe(
    run_dir: Path,
    values: Mapping[str, Any],
    origins: Mapping[str, str],
    plan: Plan,
    save_tokenizer: Callable[[Path], None] | None = None,
) -> None:
    """Write config.json, plan.json, source/ and tokenizer/; call it before anything else is written there.

    Args:
        values: every config key as it was asked for.
        origins: where each value came from, such as 'default' or 'quick.py line 4'.
        save_tokenizer: writes the dataset's tokenizer into a folder, so that the run can be sampled without the dataset.
    """
    for name in os.listdir(run_dir):
        if TEMPORARY.fullmatch(name):
            _discard(run_dir / name)
    keys = {key: {"value": value, "origin": origins.get(key, "default")} for key, value in values.items()}
    replace(run_dir / CONFIG, canonical_json({"format": FORMAT, "gptmill": gptmill.__version__, "keys": keys}))
    replace(run_dir / "plan.json", canonical_json(without_nan(asdict(plan))))
    _replace_folder(run_dir / "source", _copy_source)
    if save_tokenizer is not None:
        _replace_folder(run_dir / "tokenizer", save_tokenizer)


def plan_changes(run_dir: Path, plan: Plan) -> dict[str, list[Any]]:
    """What the plan says other than the one that the folder still describes, each with both values; call before ``describe``."""
    try:
        before = json.loads(read_plain(run_dir / "plan.json"))
        old = {name: before[name] for name in before if name != "advice"}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
    now = json.loads(canonical_json(without_nan(asdict(plan))))
    return {name: [value, now[name]] for name, value in old.items() if name in now and now[name] != value}


def is_run(path: Path) -> bool:
    """Whether the folder was written by gptmill: its config.json says so."""
    try:
        found = json.loads(read_plain(path / CONFIG))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def _copy_source(fresh: Path) -> None:
    package = Path(gptmill.__file__).parent
    for room in ROOMS:
        for file in sorted((package / room).rglob("*.py")):
            copy = fresh / file.relative_to(package)
            copy.parent.mkdir(parents=True, exist_ok=True)
            create(copy, file.read_bytes(), sync=False)  # unlike a copy's, its error names the place that is full
    commit = git_commit(package)
    if commit:
        (fresh / "git_commit").write_text(commit + "\n")


def _replace_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Fill a fresh folder, then put it in place of the old one."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        fill(fresh)
        if os.path.lexists(path):
            _discard(path)
        os.rename(fresh, path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def git_commit(package: Path) -> str | None:
    """The commit our own code is at, with '-dirty' when files differ; None for an installed wheel."""

    def git(*words: str) -> str:
        # a repository can name programs for git to run, and may have come in an archive
        command = ["git", "-c", "core.fsmonitor=false", "-C", str(package), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # a virtual environment may lie in someone else's repository
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None
