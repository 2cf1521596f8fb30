"""Power loss: what of a run is on the disk, and not only in memory, at random moments.

A kill leaves the page cache; a power cut does not. So the run folder is on an ext4 of its own in an image file, and the
image is copied while the run goes on: the copy has what the kernel had written out and nothing else, as a disk has
after a power cut. Each copy is mounted, which replays its journal, and the same command goes on from it. It must find
every checkpoint that was said to be saved before the copy began, and end with the undisturbed weights.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.reliability.judged import lost
from benchmarks.reliability.machine import NotHere, require_root, shell
from benchmarks.reliability.runs import Run, Workshop, wait

CUTS, PER_RUN = 100, 10
SIZE = 12 * 2**20  # bytes of the image
MOST_READS = 400  # to get a copy during which nothing was written


def trial(shop: Workshop) -> dict[str, Any]:
    require_root("mounting an image")
    return cut_power(shop, shop.count(CUTS))


def cut_power(shop: Workshop, cuts: int, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Copy the image ``cuts`` times in all, up to ten times a run.

    Args:
        before: what each training process does first, such as to remove a guard.
    """
    changes = ("--keep_last_n_snapshots=2",)
    began = time.monotonic()
    expected = Run(shop.folder / "undisturbed", shop.data, changes).complete()["weights_sha256"]
    length = time.monotonic() - began
    failures: list[str] = []
    done, from_nothing, in_a_save = 0, 0, 0
    while done < cuts:
        copies = snapshots(shop, changes, length, min(PER_RUN, cuts - done), before)
        for copy, committed in copies:
            done += 1
            with mounted(copy, shop.folder / "after") as disk:
                run = Run(disk / "run", shop.data, changes, logs=shop.folder / "recovered")
                in_a_save += any(run.folder.glob("checkpoints/.*"))
                problems = lost(run, expected, committed)
                from_nothing += not committed
            failures += [f"cut {done}: {problem}" for problem in problems[:1]]
            copy.unlink()
    print(
        f"  {cuts} power cuts: {cuts - len(failures)}/{cuts} recovered, {cuts - from_nothing} of them after the first "
        f"checkpoint was saved, {in_a_save} in the middle of a save",
        *failures[:10],
        sep="\n  ",
        flush=True,
    )
    return {
        "good": not failures,
        "cuts": cuts,
        "recovered": cuts - len(failures),
        "after_a_checkpoint": cuts - from_nothing,
        "in_a_save": in_a_save,
        "failures": failures[:20],
    }


def snapshots(
    shop: Workshop, changes: tuple[str, ...], length: float, n: int, before: Callable[[], None]
) -> list[tuple[Path, int]]:
    """Copies of the disk at random moments of one run, each with the step that was said to be saved before it."""
    image = shop.folder / "disk"
    image.write_bytes(bytes(SIZE))
    shell("mkfs.ext4", "-q", "-F", "-b", "1024", image)
    found: list[tuple[Path, int]] = []
    with mounted(image, shop.folder / "live") as disk:
        run = Run(disk / "run", shop.data, changes, before, logs=shop.folder / "cut")
        moments = sorted(shop.rng.uniform(0, length) for _ in range(n))
        began = time.monotonic()
        pid = run.start()
        for number, moment in enumerate(moments):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            committed = run.committed()
            copy = shop.folder / f"copy-{number}"
            copy.write_bytes(still(image))
            found.append((copy, committed))
        os.kill(pid, signal.SIGKILL)
        wait(pid)
    image.unlink()
    return found


def still(image: Path) -> bytes:
    """The image as it was at one moment: read again until two readings in a row are the same."""
    last = image.read_bytes()
    for _ in range(MOST_READS):
        again = image.read_bytes()
        if again == last:
            return again
        last = again
    raise NotHere(f"{image} was written to without a pause")


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    shell("mount", "-o", "loop", image, place)
    try:
        yield place
    finally:
        shell("umount", place)
