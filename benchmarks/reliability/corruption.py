"""Files that went bad on the disk: 1,600 of them in the newest checkpoint of a run that has three.

``gptmill verify`` must find each and the newest checkpoint left that is good; of every tenth, a resume must go on from
there and end with the undisturbed weights.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.damage import BYTES, edit
from benchmarks.reliability.judged import newest, verified
from benchmarks.reliability.runs import Run, Workshop

STEPS = (5, 10, 15)  # saved; the run ends at 20
BASE = ("--keep_last_n_snapshots=0", f"--max_iters={STEPS[-1]}")
SWAPS, DELETIONS, EDITS = 100, 50, 50
RESUMED = 10  # one in so many
Damage = Callable[[list[Path], random.Random], int]  # takes the checkpoints, oldest first; says which are left good


def trial(shop: Workshop) -> dict[str, Any]:
    return damaged_runs(shop)


def damaged_runs(shop: Workshop, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Every kind of damage as often as asked.

    Args:
        before: what the processes that save, verify and resume do first, such as to remove a guard.
    """
    base = Run(shop.folder / "base", shop.data, BASE, before)
    base.complete()
    longer = "--max_iters=20"
    expected = base.copy(shop.folder / "undisturbed", longer, before=before).complete()["weights_sha256"]
    failures: list[str] = []
    kinds: dict[str, dict[str, int]] = {}
    for kind, (damage, often) in damages().items():
        n, found, resumed, equal = shop.count(often), 0, 0, 0
        for number in range(n):
            run = base.copy(shop.folder / "run", longer, before=before)
            left = damage([run.folder / "checkpoints" / f"step_{step:08d}" for step in STEPS], shop.rng)
            found += (told := newest(verified(run.folder, before))) == left
            if told != left:
                failures.append(f"{kind} {number}: the newest good checkpoint is {left}, not {told}")
            if number % RESUMED == 0:
                resumed += 1
                problem = goes_on(run, left, expected)
                equal += problem is None
                failures += [f"{kind} {number}: {problem}"] if problem else []
            shutil.rmtree(run.folder)
        kinds[kind] = {"damaged": n, "found": found, "resumed": resumed, "weights_equal": equal}
        print(f"  {n} {kind}: {found} found; {equal}/{resumed} resumed from the newest good one", flush=True)
    print(*failures[:10], sep="\n  ", end="\n" if failures else "")
    total = {key: sum(kind[key] for kind in kinds.values()) for key in ("damaged", "found", "resumed", "weights_equal")}
    return {"good": not failures, **total, "kinds": kinds, "failures": failures[:20]}


def damages() -> dict[str, tuple[Damage, int]]:
    def in_newest(harm: Callable[[bytes, random.Random], bytes]) -> Damage:
        def damage(checkpoints: list[Path], rng: random.Random) -> int:
            path = rng.choice([path for path in files(checkpoints[-1]) if path.stat().st_size])
            path.write_bytes(harm(path.read_bytes(), rng))
            return STEPS[-2]

        return damage

    return {
        **{kind: (in_newest(harm), often) for kind, (harm, often) in BYTES.items()},
        "swaps with the checkpoint before": (swap, SWAPS),
        "deletions": (delete, DELETIONS),
        "edited manifests": (edit_manifest, EDITS),
    }


def swap(checkpoints: list[Path], rng: random.Random) -> int:
    *_, older, newer = checkpoints
    different = [path for path in files(newer) if path.read_bytes() != (older / path.relative_to(newer)).read_bytes()]
    mine = rng.choice(different)
    other = older / mine.relative_to(newer)
    data = mine.read_bytes()
    mine.write_bytes(other.read_bytes())
    other.write_bytes(data)
    return STEPS[0]


def delete(checkpoints: list[Path], rng: random.Random) -> int:
    rng.choice(files(checkpoints[-1])).unlink()
    return STEPS[-2]


def edit_manifest(checkpoints: list[Path], rng: random.Random) -> int:
    path = checkpoints[-1] / "manifest.json"
    path.write_bytes(edit(path.read_bytes(), rng))
    return STEPS[-2]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def goes_on(run: Run, left: int, expected: str) -> str | None:
    """Resume; what was wrong with that, or None."""
    try:
        result = run.complete()
    except RuntimeError as error:
        return str(error)
    if run.starts()[-1].resumed != left:
        return f"went on from step {run.starts()[-1].resumed}, not {left}"
    return None if result["weights_sha256"] == expected else "other weights than those of the undisturbed run"
