"""The same damage to what others save, loaded as they load it: how often wrong numbers come back without a word.

torch.save and torch.load, safetensors, torch.distributed.checkpoint; Hugging Face's Trainer where it is installed.
And SIGKILL while a checkpoint is written over the one before, as nanoGPT's ``torch.save(checkpoint, 'ckpt.pt')`` does.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.reliability.corruption import DELETIONS, SWAPS, files
from benchmarks.reliability.damage import BYTES
from benchmarks.reliability.runs import Run, Workshop, fork, wait

if TYPE_CHECKING:
    from torch import Tensor

KILLS = 100
State = dict[str, "Tensor"]


class Format(NamedTuple):
    save: Callable[[State, Path], None]
    load: Callable[[State, Path], State]  # given tensors of the right shapes


def trial(shop: Workshop) -> dict[str, Any]:
    run = Run(shop.folder / "run", shop.data, ("--max_iters=10",))
    run.complete()
    report = shop.folder / "peers.json"

    def work() -> None:  # in a child, because torch's threads would not survive the forks of other parts
        report.write_text(json.dumps(compare(shop, run)))

    if wait(fork(work)) != 0:
        raise RuntimeError("the comparison ended with an error; it is above")
    found = json.loads(report.read_text())
    for name, kinds in found["formats"].items():
        counts = ", ".join(f"{kind} {row['silently_wrong']}/{row['damaged']}" for kind, row in kinds.items())
        print(f"  {name}: loads silently wrong: {counts}")
    in_place = found["in_place"]
    print(f"  saved in place: {in_place['nothing_left']}/{in_place['kills']} kills left no checkpoint that loads")
    return {"good": True, **found}


def compare(shop: Workshop, run: Run) -> dict[str, Any]:
    import torch

    from benchmarks.reliability import trainer

    torch.set_num_threads(1)
    logging.disable()  # what others say of files that are bad on purpose
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    older, newer = (state_in(folder) for folder in sorted((run.folder / "checkpoints").glob("step_*"))[-2:])
    found = {name: damaged(shop, kind, older, newer) for name, kind in formats().items()}
    figures: dict[str, Any] = {"formats": found, "in_place": in_place(shop, newer)}
    try:
        found["Trainer"] = trainer.damaged(shop)
        figures["versions"] = {name: version(name) for name in ("transformers", "accelerate", "safetensors")}
    except ImportError as error:
        figures["not_run"] = f"Hugging Face's Trainer: {error}"
        print(f"  Hugging Face's Trainer not run: {error}")
    return figures


def state_in(checkpoint: Path) -> State:
    """Weights and moments of one of our own checkpoints: what the others are given to save."""
    from safetensors.torch import load_file

    return {
        f"{path.stem}.{name}": tensor
        for path in files(checkpoint)
        if path.suffix == ".safetensors"
        for name, tensor in load_file(path).items()
    }


def formats() -> dict[str, Format]:
    import safetensors.torch
    import torch
    from torch.distributed import checkpoint as dcp

    def dcp_load(shapes: State, folder: Path) -> State:
        found = {name: torch.full_like(tensor, 7.0) for name, tensor in shapes.items()}
        dcp.load(found, checkpoint_id=folder, no_dist=True)
        return found

    return {
        "torch.save": Format(
            lambda state, folder: torch.save(state, folder / "ckpt.pt"),
            lambda _, folder: torch.load(folder / "ckpt.pt", weights_only=True),
        ),
        "safetensors": Format(
            lambda state, folder: safetensors.torch.save_file(state, folder / "model.safetensors"),
            lambda _, folder: safetensors.torch.load_file(folder / "model.safetensors"),
        ),
        "DCP": Format(lambda state, folder: dcp.save(state, checkpoint_id=folder, no_dist=True) and None, dcp_load),
    }


def damaged(shop: Workshop, kind: Format, older: State, newer: State) -> dict[str, dict[str, int]]:
    """For each kind of damage: how often it was done, and how often the load said nothing and gave other numbers."""
    folders = shop.folder / "older", shop.folder / "newer"
    for folder, state in zip(folders, (older, newer)):
        folder.mkdir()
        kind.save(state, folder)
    rows = {}
    for name, (harm, often) in harms(folders[0]).items():
        wrong, n = 0, shop.count(often)
        for _ in range(n):
            path = shop.rng.choice(files(folders[1]))
            whole = path.read_bytes()
            harm(path, shop.rng)
            wrong += loads_other_numbers(kind, newer, folders[1])
            path.write_bytes(whole)
        rows[name] = {"damaged": n, "silently_wrong": wrong}
    for folder in folders:
        shutil.rmtree(folder)
    return rows


def harms(older: Path) -> dict[str, tuple[Callable[[Path, random.Random], Any], int]]:
    """What is done to one file of a checkpoint, and how often."""

    def in_place(harm: Callable[[bytes, random.Random], bytes]) -> Callable[[Path, random.Random], Any]:
        return lambda path, rng: path.write_bytes(harm(path.read_bytes(), rng))

    return {
        **{name: (in_place(harm), often) for name, (harm, often) in BYTES.items()},
        "swaps with the checkpoint before": (lambda path, _: shutil.copyfile(older / path.name, path), SWAPS),
        "deletions": (lambda path, _: path.unlink(), DELETIONS),
    }


def loads_other_numbers(kind: Format, right: State, folder: Path) -> bool:
    import torch
    from torch.distributed.checkpoint.api import CheckpointException  # no Exception, in torch 2.13

    try:
        found = kind.load(right, folder)
    except (Exception, CheckpointException):  # whatever it says, it says something
        return False
    same = found.keys() == right.keys() and all(
        torch.equal(found[name].reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))
        for name, tensor in right.items()
        if found[name].numel()
    )
    return not same


def in_place(shop: Workshop, state: State) -> dict[str, int]:
    """SIGKILL while a state is saved over and over to the same name."""
    import torch

    path, nothing_left, n = shop.folder / "ckpt.pt", 0, shop.count(KILLS)

    def save_for_ever() -> None:
        while True:
            torch.save(state, path)

    for _ in range(n):
        torch.save(state, path)
        pid = fork(save_for_ever)
        time.sleep(shop.rng.uniform(0.01, 0.1))
        os.kill(pid, signal.SIGKILL)
        wait(pid)
        try:
            torch.load(path, weights_only=True)
        except Exception:
            nothing_left += 1
    return {"kills": n, "nothing_left": nothing_left}
