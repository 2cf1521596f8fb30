"""What makes a folder a checkpoint: a manifest that names every file with its size and SHA-256, and guards itself.

    checkpoints/step_00001000/{manifest.json, model.safetensors, optimizer.safetensors, state.json}

and pruning.safetensors, where the run prunes. Several processes that share the state out write shard-00001-...,
shard-00002-... in place of the safetensors files.
The manifest must be byte for byte its own canonical JSON and carries a digest over the rest of itself, so one flipped
bit in any of the files is found, and the file is named. Hashes find accidents; a person who rewrites the manifest
on purpose is not stopped by them. Nothing here imports torch: verifying needs only the bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from gptmill.durable import canonical_json
from gptmill.errors import CheckpointError
from gptmill.plain import open_plain

FORMAT = 1
MANIFEST = "manifest.json"
NUMBERS = "state.json"
WEIGHTS = "model.safetensors"
MOMENTS = "optimizer.safetensors"
PRUNING = "pruning.safetensors"
WHOLE = (WEIGHTS, MOMENTS, NUMBERS)
# what several processes write, as DCP names it: shard 1 of n, ...
MEMBER = re.compile(r"(model|optimizer|pruning|shard-\d{5}-model-00001-of-00001)\.safetensors|state\.json")
STEP_NAME = re.compile(r"step_(\d{8,})")
LARGEST_MANIFEST = 2**20  # bytes; ours hold a few kilobytes, and nothing larger is worth parsing


@dataclass(frozen=True)
class Manifest:
    """A verified manifest.

    Args:
        files: member name -> {"bytes": size, "sha256": hex digest}.
        best: val_loss was the lowest so far when this was saved.
        facts: what the run was (shape, data, machine), recorded to be compared on resume.
    """

    iter: int
    best: bool
    files: dict[str, dict[str, Any]]
    facts: dict[str, Any]


def is_checkpoint(names: Iterable[str]) -> bool:
    """Whether these are the files of one: the three of a whole one and its masks if any, or shards and the numbers."""
    names = set(names)
    shards = {name for name in names if name.startswith("shard-") and MEMBER.fullmatch(name)}
    return names - {PRUNING} == set(WHOLE) or (bool(shards) and names == shards | {NUMBERS})


def is_whole(manifest: Manifest) -> bool:
    """Whether each tensor lies in one piece, weights in a file of their own."""
    return WEIGHTS in manifest.files


def step_name(iter: int) -> str:
    return f"step_{iter:08d}"


def encode(manifest: Manifest) -> bytes:
    body = {
        "format": FORMAT,
        "iter": manifest.iter,
        "best": manifest.best,
        "files": manifest.files,
        "facts": manifest.facts,
    }
    return canonical_json({**body, "digest": hashlib.sha256(canonical_json(body)).hexdigest()})


def fingerprint(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def fingerprint_file(path: Path) -> dict[str, Any]:
    """The same of a file; raises CheckpointError when it cannot be read."""
    with _open(path) as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": _digest(file)}


def read_manifest(folder: Path) -> Manifest:
    """Read and verify manifest.json; raises CheckpointError naming the file and what is wrong with it."""
    path = folder / MANIFEST
    with _open(path) as file:
        data = file.read(LARGEST_MANIFEST + 1)
    try:
        found = json.loads(data)
        manifest = Manifest(int(found["iter"]), bool(found["best"]), dict(found["files"]), dict(found["facts"]))
        whole = found["format"] != FORMAT or encode(manifest) == data
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        whole = False
    if not whole:
        raise CheckpointError(f"{path}: damaged or edited: it does not match its own digest")
    if found["format"] != FORMAT:
        raise CheckpointError(f"{path}: written as format {found['format']!r}; this gptmill reads format {FORMAT}")
    if not is_checkpoint(manifest.files):
        raise CheckpointError(f"{path}: lists {', '.join(manifest.files)}; a checkpoint has {', '.join(WHOLE)}")
    if folder.name != step_name(manifest.iter):
        raise CheckpointError(f"{path}: belongs to {step_name(manifest.iter)}, not to {folder.name}; was it moved?")
    return manifest


def read_member(folder: Path, name: str, manifest: Manifest) -> bytes:
    """The bytes of one file, proven to be those that were saved: what is returned is what was hashed."""
    with reading(folder, name, manifest) as fill:
        data = bytearray(manifest.files[name]["bytes"])
        fill(data)
    return bytes(data)


@contextlib.contextmanager
def reading(folder: Path, name: str, manifest: Manifest) -> Iterator[Callable[[bytearray], None]]:
    """Yields what fills a buffer with the next bytes of one file. On leaving, all that were read are proven to be all that
    were saved; nothing of them may be used before.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path, digest = folder / name, hashlib.sha256()
    with _open(path) as file:
        # the size first: it may have a terabyte of holes
        _compare_size(path, os.fstat(file.fileno()).st_size, manifest.files[name])

        def fill(buffer: bytearray) -> None:
            if file.readinto(buffer) != len(buffer):
                raise CheckpointError(f"{path}: damaged: it ends too early")
            digest.update(buffer)

        yield fill
    _compare(path, {**manifest.files[name], "sha256": digest.hexdigest()}, manifest.files[name])


def verify(folder: Path) -> list[str]:
    """Check every file of one checkpoint; returns one sentence per problem, none when it is good."""
    try:
        manifest = read_manifest(folder)
    except CheckpointError as error:
        return list(error.problems)
    problems: list[str] = []
    for name in sorted(manifest.files):
        try:
            with _open(folder / name) as file:
                _compare_size(folder / name, os.fstat(file.fileno()).st_size, manifest.files[name])
            _compare(folder / name, fingerprint_file(folder / name), manifest.files[name])
        except CheckpointError as error:
            problems += error.problems
    return problems


def steps(run_dir: Path) -> list[Path]:
    """Every folder that calls itself a checkpoint of this run, good or not, the oldest first."""
    try:
        names = os.listdir(run_dir / "checkpoints")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{run_dir / 'checkpoints'}: {error.strerror}") from error
    numbered = sorted((int(match[1]), name) for name in names if (match := STEP_NAME.fullmatch(name)))
    return [run_dir / "checkpoints" / name for _, name in numbered]


def newest_good(run_dir: Path) -> tuple[Path | None, list[str]]:
    """The checkpoint with the highest step that verifies, and what is wrong with each newer one.

    Neither a pointer file nor a clock decides: both can be wrong after a crash.
    """
    problems: list[str] = []
    for folder in reversed(steps(run_dir)):
        found = verify(folder)
        if not found:
            return folder, problems
        problems += found
    return None, problems


@contextlib.contextmanager
def _open(path: Path) -> Iterator[BufferedReader]:
    """Open a plain file, turning what the disk says (missing, unreadable, I/O error) into a CheckpointError."""
    try:
        with open_plain(path) as file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _compare_size(path: Path, size: int, expected: dict[str, Any]) -> None:
    if size != expected["bytes"]:
        raise CheckpointError(f"{path}: damaged: {size:,} bytes, not the {expected['bytes']:,} saved")


def _compare(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    _compare_size(path, found["bytes"], expected)
    if found["sha256"] != expected["sha256"]:
        raise CheckpointError(f"{path}: damaged: its SHA-256 is not the one in the manifest")
