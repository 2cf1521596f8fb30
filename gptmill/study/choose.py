"""Which settings the runs of a sweep have: all combinations, or so many drawn at random."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice, product
from random import Random

from gptmill.errors import UserError
from gptmill.study.parameters import MOST
from gptmill.study.record import Run
from gptmill.study.sweepfile import Sweep

Settings = dict[str, str | None]
LONGEST_ID = 120  # characters; a file name has 255


def all_combinations(sweep: Sweep) -> list[Settings]:
    """The last parameter varies fastest, as the file lists them.

    Raises:
        UserError: there are too many to mean it.
    """
    grids = [[(each.name, value) for value in each.grid() or ()] for each in sweep.parameters]
    chosen = [dict(values) for values in islice(product(*grids), MOST + 1)]
    if len(chosen) > MOST:
        raise UserError(f"{sweep.path}: a grid of more than {MOST:,} runs; try method: random with --count=N")
    return chosen


def drawn(sweep: Sweep, n: int, seed: int) -> list[Settings]:
    """The same ``n`` for the same seed, and the first of them for a smaller ``n``."""
    return [
        {each.name: each.draw(Random(f"{seed}/{n}/{each.name}")) for each in sweep.parameters} for n in range(1, n + 1)
    ]


def corners(sweep: Sweep) -> list[Settings]:
    """Every parameter at both its ends, and each value of a list: what a search may come to, to be checked beforehand."""
    middle = {each.name: each.at(0.5) for each in sweep.parameters}
    ends = [(each.name, value) for each in sweep.varied for value in each.values or (each.at(0.0), each.at(1 - 1e-9))]
    return [middle, *({**middle, name: value} for name, value in ends)]


def named_runs(sweep: Sweep, argv: tuple[str, ...], chosen: list[Settings]) -> list[Run]:
    """The runs of a grid by what is different in them."""
    varied = {each.name for each in sweep.varied}
    names = [identity({key: value for key, value in each.items() if key in varied}) for each in chosen]
    if len(set(names)) < len(names) or max(map(len, names)) > LONGEST_ID:
        names = [numbered(n) for n in range(1, len(names) + 1)]
    return [Run(name, argv, settings) for name, settings in zip(names, chosen)]


def identity(settings: Mapping[str, str | None]) -> str:
    """A name for a folder: 'penalty_weight=0.01,seed=3'."""
    return re.sub(r"[^\w.,=+-]", "_", ",".join(f"{key}={value}" for key, value in settings.items())) or "run"


def numbered(n: int) -> str:
    return f"run-{n:03}"
