"""Hostile files at every place that a command reads: nothing in them runs, and each costs a line and little else."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.reliability_inputs.ammunition import Payload, payloads
from benchmarks.reliability_inputs.claims import claims
from benchmarks.reliability_inputs.places import Place, places
from benchmarks.reliability_inputs.workshop import Ended, Workshop, make_run

MOST_SECONDS = 3.0  # of processor time, a training of one step included
MOST_GROWN = 512 * 2**20  # bytes; the largest payloads have 64 MiB
CODES = (0, 1, 2, 3, 4, 75)
LONGEST, MOST_LINES = 1100, 60


def trial(work: Path, scale: float) -> dict[str, Any]:
    """Args: scale: below 1, only that share of the payloads."""
    shop, canary = Workshop(work / "out"), work / "canary"
    make_run(shop, work / "whole")
    ammunition = payloads(canary)[:: max(1, round(1 / scale))]
    live = [payload.name for payload in ammunition if payload.fires and _fires(shop, work, payload, canary)]
    dead = [payload.name for payload in ammunition if payload.fires and payload.name not in live]
    found = places(work / "whole")
    failures, ends = [f"{name}: not live" for name in dead], Counter[str]()
    slowest = most = 0.0
    for place in found:
        for payload in [None, *ammunition]:
            ended = _case(shop, work, place, payload)
            ends[str(ended.code)] += payload is not None
            slowest, most = max(slowest, ended.seconds), max(most, ended.grown)
            for problem in _problems(ended, canary):
                failures.append(f"{place.name}, {payload.name if payload else 'undisturbed'}: {problem}")
            canary.unlink(missing_ok=True)

    def claimed(folder: Path, words: list[str], name: str) -> None:
        nonlocal slowest, most
        ended = shop.command(folder, *words)
        slowest, most = max(slowest, ended.seconds), max(most, ended.grown)
        failures.extend(f"{name}: {problem}" for problem in _problems(ended, canary))

    n_claims = claims(shop, work, claimed, every=max(1, round(1 / scale)))
    cases = len(found) * len(ammunition)
    print(
        f"payloads: {len(ammunition)} at {len(found)} places, {cases:,} cases: 0 executed"
        if not failures
        else f"payloads: {len(failures)} of {cases:,} cases failed",
        f"({len(live)} are live: they run in the library they are made for); slowest {slowest:.2f} s of processor time, "
        f"most memory {most / 2**20:.0f} MiB",
    )
    return {
        "good": not failures,
        "payloads": len(ammunition),
        "live": len(live),
        "places": [place.name for place in found],
        "cases": cases,
        "forged_claims": n_claims,
        "exit_codes": dict(sorted(ends.items())),
        "seconds_most": slowest,
        "bytes_grown_most": most,
        "failures": failures,
    }


def _fires(shop: Workshop, work: Path, payload: Payload, canary: Path) -> bool:
    """Whether the payload runs in what it is made for; without that, that it does not run here would show nothing."""
    fires, path = payload.fires, work / "live"
    assert fires
    payload.lay(path)
    shop.call(work, lambda: fires(path))
    ran = canary.exists()
    canary.unlink(missing_ok=True)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return ran


def _case(shop: Workshop, work: Path, place: Place, payload: Payload | None) -> Ended:
    folder = work / "case"
    shutil.copytree(work / "whole", folder, symlinks=True)
    if payload:
        place.set(folder, payload.lay)
    ended = shop.command(folder, *place.words)
    shutil.rmtree(folder)
    return ended


def _problems(ended: Ended, canary: Path) -> list[str]:
    lines = ended.err.splitlines()
    found = []
    if canary.exists() or ended.events:
        found.append(f"executed ({', '.join(ended.events) or 'canary'})")
    if "do-not-print-me" in ended.out + ended.err:
        found.append("printed the content of a file that was linked to")
    if (canary.parent / "escaped").exists() or Path("/tmp/escaped").exists():
        found.append("wrote outside its folder")
    if ended.code not in CODES or "Traceback" in ended.err:
        found.append(f"exit {ended.code}: {lines[-1] if lines else ''}")
    if ended.code and not ended.out and not any(line.startswith("error: ") for line in lines):  # verify prints a table
        found.append(f"exit {ended.code} without a line that says why")
    if len(lines) > MOST_LINES or any(
        len(line) > LONGEST or not line.isprintable() for line in lines if not line.startswith("{")
    ):
        found.append(
            f"{len(lines)} lines, of which one has {max(map(len, lines))} characters or one that steers a terminal"
        )
    if ended.seconds > MOST_SECONDS or ended.grown > MOST_GROWN:
        found.append(f"{ended.seconds:.1f} s, {ended.grown / 2**20:.0f} MiB")
    return found
