"""``--resume``: a run goes on with its own config; what differs now is free, needs a flag, or is impossible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gptmill.config.layers import DEFAULT, ENTRANCE, Layer, Parts
from gptmill.config.load import load
from gptmill.config.resolve import Resolved
from gptmill.config.wording import config_error, show
from gptmill.data.layout import is_dataset
from gptmill.errors import UserError
from gptmill.track.describe import is_run
from gptmill.track.run_dir import find_run
from gptmill.train.changes import IMPOSSIBLE, NEEDS_FLAG, ROUNDING

SHOWN = 5  # runs named at most


def load_run(argv: list[str], entrance: dict[str, object] | None = None, parts: Parts | None = None) -> Resolved:
    """``load``, and with --resume the values that the run recorded below those given now.

    Raises:
        ConfigError: also a change that would make it another run, or that needs a flag; one line a key.
    """
    resolved = load(argv, entrance, parts, find_run, _described)
    if resolved.own is None:
        return resolved
    notices, problems = judge(resolved)
    if problems:
        raise config_error(problems)
    return replace(resolved, notices=resolved.notices + notices)


def _described(model: str) -> Layer:
    """The settings of a model that init_from names. Imported here, as most runs name none."""
    from gptmill.cli.pretrained import as_layer

    return as_layer(model)


def check_resumable(resolved: Resolved) -> None:
    """With no run and no config, the default dataset is nobody's wish; where it is there, a new run begins.

    Raises:
        UserError: there is no run; names those that are here.
    """
    from gptmill.cli.dataset import folder_of

    config = resolved.config
    asked = config.init_from == "resume" and resolved.own is None and resolved.origins["dataset"] == DEFAULT
    if not asked or is_dataset(folder_of(config)):
        return
    here = sorted(path.parent.name for path in Path().glob("*/config.json") if is_run(path.parent))
    others = f"; runs here: {', '.join(here[:SHOWN])}{', ...' * (len(here) > SHOWN)} (--out_dir=NAME)" if here else ""
    raise UserError(f"--resume: no run in {config.out_dir}{others}; to start one, name a config")


def judge(resolved: Resolved) -> tuple[tuple[str, ...], list[str]]:
    """What differs from the record: one notice that lists what was free to change, and a problem for each that was not."""
    assert resolved.own
    run, recorded = resolved.own.run, resolved.own.values
    free: list[str] = []
    problems: list[str] = []
    for key, origin in resolved.origins.items():
        origin = origin.removeprefix(f"{DEFAULT}, reset by ")
        old, new = recorded.get(key), getattr(resolved.config, key)
        given = not origin.startswith((DEFAULT, ENTRANCE, f"run {run}: ", "not used"))
        if not given or key not in recorded or old == new:
            continue
        change = f"{key} {show(old)} -> {show(new)}"
        if key in IMPOSSIBLE:
            if old is not None and new is not None:  # None is "worked out": the checkpoint knows to what
                problems.append(
                    f"{origin}: {change}: {run} would be another run; leave it out to continue {run}, or start a new "
                    f"run in another out_dir"
                )
        elif key in NEEDS_FLAG:
            if not origin.startswith("--"):
                problems.append(
                    f"{origin}: {change} changes the course of {run}; leave it out to continue as before, or type "
                    f"--{key}={show(new)}"
                )
        elif key not in ROUNDING:  # those are told with the checkpoint, as are the flags': not bit for bit
            free.append(change)
    return (f"{run} goes on with {', '.join(free)}",) if free else (), problems
