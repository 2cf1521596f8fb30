"""Which runs of a sweep to stop early: those that are not among the best 1/eta after so many evaluations.

Source: Li et al. 2018, arXiv:1603.06560, in the form that W&B gives it (package ``sweeps`` 0.3.0, hyperband_stopping.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gptmill.study.sweepfile import Bands


def to_stop(bands: Bands, histories: Mapping[str, Sequence[float]], going: Sequence[str]) -> dict[str, str]:
    """Ids of going runs that are to end, with the reason.

    Args:
        histories: losses of each run so far, one for each evaluation; less is better.
    """
    found = {}
    for id in going:
        mine = histories.get(id, ())
        reached = [at for at in bands.at if at <= len(mine)]
        if not reached:
            continue
        at = reached[-1]
        there = sorted(losses[at - 1] for losses in histories.values() if len(losses) >= at)
        threshold = there[int(len(there) / bands.eta)]
        value = mine[at - 1] if bands.strict else min(mine)
        if value > threshold:
            found[id] = f"loss {value:.4f} after {at} evaluations, not among the best 1/{bands.eta:g} ({threshold:.4f})"
    return found
