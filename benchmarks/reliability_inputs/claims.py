"""Manifests and states whose author made every hash match: what they say is believed only where it can be so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability_inputs.places import RESUME, SAMPLE, alone, forge
from benchmarks.reliability_inputs.workshop import Workshop
from gptmill.durable import canonical_json

VALUES: tuple[Any, ...] = (-1, 10**6, 10**30, 2.5, "x", None, [1])
Change = Callable[[Any], None]


def claims(shop: Workshop, work: Path, check: Callable[[Path, list[str], str], None], every: int = 1) -> int:
    """Run every command that reads a checkpoint on every claim; returns how many that were.

    Args:
        every: 1 = all, 10 = every tenth.
        check: runs the command in a folder and keeps what is wrong with how it ended, under a name.
    """
    cases = 0
    folder = work / "claim"
    shutil.copytree(work / "whole", folder, symlinks=True)
    alone(folder)
    forge(folder)
    for command in (RESUME, SAMPLE):  # what is refused below is refused for what it claims
        assert shop.command(folder, *command).code == 0, command
    shutil.rmtree(folder)
    for name, change in list(_all(work / "whole"))[::every]:
        for command in (RESUME, SAMPLE) if "manifest.json" in name and ".bits" not in name else (RESUME,):
            shutil.copytree(work / "whole", folder, symlinks=True)
            alone(folder)
            change(folder)
            forge(folder)
            check(folder, command, f"{command[0]}, {name}")
            shutil.rmtree(folder)
            cases += 1
    return cases


def _all(whole: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    checkpoint = sorted((whole / "half" / "checkpoints").iterdir())[-1]
    for file in sorted(checkpoint.glob("*.json")):
        for path in _paths(json.loads(file.read_bytes())):
            if path[-1] != "digest" and "files" not in path:
                for value in VALUES:
                    yield f"{file.name} {'.'.join(path)}={value!r}", _changed(file.name, path, value)


def _paths(body: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in body.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))


def _changed(name: str, path: tuple[str, ...], value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = sorted((folder / "half" / "checkpoints").iterdir())[-1] / name
        body = inner = json.loads(file.read_bytes())
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        file.write_bytes(canonical_json(body))

    return change
