"""A disk that refuses: full, over quota or broken, at every call of a save that could be the one to find out.

The run is at step 10, saves at step 15 in its middle and at step 20 at its end. In turn each call that changes the
disk in the first of these saves fails once; or it fails and so does every later one, until the run has ended and the
disk is mended. Then the same with disks that really are full (a tmpfs that fills up as the save begins, to 20 levels) and with a limit on
the size of files.

Nothing that was saved may be lost, the undisturbed weights must come out, training must go on past a save that failed,
and the message must name the path and, of a full disk, what is free.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path
from typing import Any

from benchmarks.reliability.judged import lost
from benchmarks.reliability.machine import NotHere, require_root, shell
from benchmarks.reliability.runs import Run, Workshop, wait
from benchmarks.reliability.syscalls import BASE, on_checkpoints, shown, where
from benchmarks.reliability.tracer import Touch, follow

LONGER = "--max_iters=20"
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
SIZES = 20  # of what is left on a disk, and of files
FREEING = {"unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2"}  # what a full disk still does


def trial(shop: Workshop) -> dict[str, Any]:
    base = Run(shop.folder / "base", shop.data, BASE)
    base.complete()
    expected = base.copy(shop.folder / "undisturbed", LONGER).complete()["weights_sha256"]
    calls = first_save(shop, base)[:: round(1 / shop.share)]
    figures = {
        "once": failing_calls(shop, base, expected, calls, lasting=False),
        "from_then_on": failing_calls(shop, base, expected, calls, lasting=True),
        "full_tmpfs": full_tmpfs(shop, base, expected),
        "limited_files": limited_files(shop, base, expected),
    }
    return {"good": all(part["good"] for part in figures.values()), **figures}


def first_save(shop: Workshop, base: Run) -> list[Touch]:
    """The calls that change the disk in the save at step 15, what is moved and retired after it included."""
    run = base.copy(shop.folder / "run", LONGER)
    code, touches = follow(run.train, run.folder)
    assert code == 0, run.complaint()
    shutil.rmtree(run.folder)
    begins, ends = (next(t.number for t in touches if f"step_000000{step}" in t.path) for step in (15, 20))
    return [touch for touch in touches[begins:ends] if touch.changes and on_checkpoints(touch)]


def failing_calls(shop: Workshop, base: Run, expected: str, calls: list[Touch], *, lasting: bool) -> dict[str, Any]:
    """Let each call fail in each way.

    Args:
        lasting: so does every later one on a checkpoint, except that a full disk still removes and renames.
    """
    failures: list[str] = []
    told, went_on, ended_in_error = 0, 0, 0
    for call in calls:
        for error in ERRORS:
            run = base.copy(shop.folder / "run", LONGER)

            def judge(touch: Touch, call: Touch = call, error: int = error) -> int | None:
                if touch.number == call.number:
                    return error
                later = lasting and touch.number > call.number and touch.changes
                spared = error != errno.EIO and touch.call in FREEING
                return error if later and not spared and where(touch).startswith("checkpoints") else None

            code, _ = follow(run.train, run.folder, judge)
            name = f"{errno.errorcode[error]} at {shown(call)}"
            told += names_it(run, error)
            went_on += run.starts()[-1].last == 20
            ended_in_error += code != 0
            if code < 0 or "Traceback" in run.complaint() or (code != 0 and not lasting):
                failures.append(f"{name}: exit code {code}: {run.complaint()}")
            failures += [f"{name}: {problem}" for problem in lost(run, expected)[:1]]
            shutil.rmtree(run.folder)
    n = len(calls) * len(ERRORS)
    print(
        f"  {len(calls)} calls x {len(ERRORS)} errors, {'from then on' if lasting else 'once'}: {len(failures)} lost "
        f"anything; {went_on}/{n} trained to the end, {told}/{n} named the path"
        f"{f', {ended_in_error}/{n} ended in an error because the last save failed' if lasting else ''}",
        *failures[:10],
        sep="\n  ",
        flush=True,
    )
    return {
        "good": not failures and went_on == n,
        "calls": len(calls),
        "trials": n,
        "trained_to_the_end": went_on,
        "path_named": told,
        "ended_in_error": ended_in_error,
        "failures": failures[:20],
    }


def names_it(run: Run, error: int) -> bool:
    """Whether a message names a path of the run, and of a full disk what is free or what was removed."""
    said = " ".join(line for line in run.complaint().splitlines() if str(run.folder) in line)
    room = error == errno.EIO or "free" in said or "room" in said or "training goes on" in said
    return bool(said) and room


def full_tmpfs(shop: Workshop, base: Run, expected: str) -> dict[str, Any]:
    """Disks with room for less than a checkpoint when a save begins: for nothing, for a twentieth of it, and so on."""
    try:
        require_root("mounting a tmpfs")
    except NotHere as reason:
        print(f"  full tmpfs not run: {reason}")
        return {"good": True, "not_run": str(reason)}
    *_, newest = sorted(base.folder.glob("checkpoints/step_*"))
    needed = sum(path.stat().st_blocks * 512 for path in newest.iterdir())
    failures: list[str] = []
    went_on, refused = 0, 0
    n = shop.count(SIZES)
    for number in range(n):
        place = shop.folder / f"tmpfs-{number}"
        place.mkdir()
        shell("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place)
        left, ballast = number * needed // n, place / "ballast"
        try:
            run = base.copy(place / "run", LONGER, logs=shop.folder / "run")

            def fill(touch: Touch, left: int = left, ballast: Path = ballast) -> None:
                if "step_00000015" in touch.path and not ballast.exists():
                    with ballast.open("wb") as file:
                        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(ballast.parent).free - left)

            code, _ = follow(run.train, run.folder, fill)
            refused += "step_00000015: not saved: No space left" in run.complaint()
            went_on += "step_00000020: not saved: No space left" in run.complaint()
            if code < 0 or "Traceback" in run.complaint():
                failures.append(f"{left} bytes left: exit code {code}: {run.complaint()}")
            ballast.unlink()
            failures += [f"{left} bytes left: {problem}" for problem in lost(run, expected)[:1]]
        finally:
            shell("umount", place)
    print(
        f"  {n} tmpfs, full when a save began: {refused} refused it, {went_on} trained to the end, {len(failures)} lost "
        "anything",
        *failures[:5],
        sep="\n  ",
        flush=True,
    )
    good = not failures and refused == went_on == n
    return {
        "good": good,
        "sizes": n,
        "refused_a_save": refused,
        "trained_to_the_end": went_on,
        "failures": failures[:20],
    }


def limited_files(shop: Workshop, base: Run, expected: str) -> dict[str, Any]:
    """Limits on the size of a file, below that of the largest that a checkpoint has."""
    largest = max(path.stat().st_size for path in base.folder.glob("checkpoints/*/*"))
    failures: list[str] = []
    refused = 0
    n = shop.count(SIZES)
    for number in range(n):
        limit = 60_000 + number * (largest - 60_000) // n  # what comes before the save fits
        run = base.copy(shop.folder / "run", LONGER)
        run.before = lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # type: ignore[misc]
        code = wait(run.start())
        run.before = lambda: None
        refused += "not saved" in run.complaint()
        if code < 0 or "Traceback" in run.complaint():
            failures.append(f"{limit} bytes: exit code {code}: {run.complaint()}")
        failures += [f"{limit} bytes: {problem}" for problem in lost(run, expected)[:1]]
        shutil.rmtree(run.folder)
    print(f"  {n} limits on files: {refused} refused a save, {len(failures)} lost anything", *failures[:5], sep="\n  ")
    return {"good": not failures and refused > 0, "sizes": n, "refused_a_save": refused, "failures": failures[:20]}
