"""The machine without torch: Python, cores, memory, disks, and the texts and files that need no network."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import gptmill
from gptmill.cli.checks.base import MISSING, OK, PROBLEM, Found
from gptmill.errors import DataError
from gptmill.plan.hardware import detect_machine, free_memory
from gptmill.units import size

LEAST = 2**30  # [bytes] of memory and of disk: torch and a small run with its checkpoints
BLOCK = 2**20
MOST_WRITTEN, LONGEST_WRITTEN = 2**28, 2.0  # [bytes, seconds] to measure a disk with


def python() -> Found:
    return Found(OK, f"{platform.python_version()} on {platform.system()}, {sys.executable}")


def checkout() -> Found:
    """Which gptmill this is."""
    from gptmill.track.describe import git_commit

    commit = git_commit(Path(gptmill.__file__).parent)
    if commit is None:
        return Found(OK, f"{gptmill.__version__}, installed without its git history")
    changed = ", with changes of yours" if commit.endswith("-dirty") else ""
    return Found(OK, f"{gptmill.__version__} at commit {commit[:12]}{changed}", figures={"commit": commit})


def cores() -> Found:
    machine, installed = detect_machine("cpu"), os.cpu_count() or 1
    figures = {"usable": machine.cores, "installed": installed}
    if machine.cores < installed:
        limit = "this process's affinity or its container allows no more"
        return Found(OK, f"{machine.cores} of {installed}: {limit} ({machine.name})", figures=figures)
    return Found(OK, f"{installed} ({machine.name})", figures=figures)


def memory() -> Found:
    total, free = detect_machine("cpu").memory, free_memory()
    figures = {"free_bytes": free, "total_bytes": total}
    if total is None or free is None:
        return Found(OK, size(total) if total else "this system does not say how much", figures=figures)
    says = f"{size(free)} free of {size(total)}"
    if free < LEAST:
        return Found(PROBLEM, says, "end other programs, or raise the container's limit", figures)
    return Found(OK, says, figures=figures)


def disk(folder: Path) -> Found:
    """Room and write speed of the folder, or of the nearest one above it that exists."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    status = os.statvfs(place)
    free = status.f_bavail * status.f_frsize
    if free < LEAST:
        return Found(PROBLEM, f"{place}: {size(free)} free", "free space, or choose another folder")
    try:
        speed = write_speed(place)
    except OSError as error:
        remedy = f"choose a folder you may write in, or change who may write in {place}"
        return Found(PROBLEM, f"{place}: cannot be written ({error.strerror})", remedy)
    figures = {"folder": str(place), "free_bytes": free, "written_bytes_per_second": speed}
    return Found(OK, f"{size(free)} free, writes {size(speed)}/s ({place})", figures=figures)


def write_speed(folder: Path) -> float:
    """Bytes per second until the disk has them, of a file that is gone afterwards."""
    block = os.urandom(BLOCK)  # a disk that compresses would find zeros easy
    written = 0
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        while written < MOST_WRITTEN and time.perf_counter() - began < LONGEST_WRITTEN:
            written += file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return written / (time.perf_counter() - began)


def text() -> Found:
    """The text that `quick` trains on."""
    from gptmill.data.corpora.python_stdlib import stdlib_files

    try:
        return Found(OK, f"{stdlib_files().description}: training needs no network")
    except DataError as error:
        return Found(MISSING, str(error))


def gpt2_files() -> Found:
    from gptmill.data.tokenizers.bpe import ENCODER, MERGES
    from gptmill.data.tokenizers.gpt2 import cache_folder, from_folder

    folder = cache_folder()
    if not all((folder / name).exists() for name in (ENCODER, MERGES)):
        says = f"{ENCODER} and {MERGES} are not in {folder}"
        remedy = "tokenizer=gpt2 downloads them; without a network copy them from a machine that has them"
        return Found(MISSING, says, remedy)
    try:
        from_folder(folder)
    except DataError as error:
        return Found(PROBLEM, str(error), f"delete it from {folder}; tokenizer=gpt2 downloads it again")
    return Found(OK, f"{folder}, as OpenAI published them")
