"""What a study may say of each arm, with the error rate it promises: of all its claims of a difference, one study in
twenty that compares equals makes any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev

from gptmill.study.statistics import ALPHA, FEWEST, MOST_SEEDS, Comparison, compare, detectable, holm, seeds_needed

DROP = 0.01  # one-sided; a look at an arm as good as the baseline drops it this often
Losses = Mapping[int, float | None]  # final validation loss by seed; None of a run that ended without one


@dataclass(frozen=True)
class Finding:
    """One arm.

    Args:
        verdict: baseline, better, worse, no difference seen, same runs, unstable, dropped or too few seeds.
        says: the verdict as a sentence without its end, with the numbers it rests on.
        losses: final validation loss by seed, of the runs that have one.
        lost: seeds whose run ended without a final loss.
        p_holm: after Holm's correction over the arms of the study; None where no test was made.
        needed: seeds that would show the difference asked for; None where that is not known or beyond MOST_SEEDS.
    """

    arm: str
    verdict: str
    says: str
    losses: dict[int, float]
    lost: tuple[int, ...] = ()
    comparison: Comparison | None = None
    p_holm: float | None = None
    needed: int | None = None

    @property
    def mean(self) -> float | None:
        return mean(self.losses.values()) if self.losses else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds."""
        return stdev(self.losses.values()) if len(self.losses) > 1 else None


def find(
    arms: Mapping[str, Losses], baseline: str, detect: float, dropped: Mapping[str, int] | None = None
) -> list[Finding]:
    """The verdict on every arm, in their order.

    Args:
        detect: the difference [nats/token] worth seeing, for the hint how many seeds that takes.
        dropped: arms that were given up, and after how many seeds.
    """
    dropped = dropped or {}
    known = {arm: {seed: loss for seed, loss in losses.items() if loss is not None} for arm, losses in arms.items()}
    lost = {arm: tuple(seed for seed, loss in losses.items() if loss is None) for arm, losses in arms.items()}
    others = [arm for arm in arms if arm != baseline]
    beside = {arm: compare(known[arm], known[baseline]) for arm in others}
    tested = {arm: found for arm, found in beside.items() if found and _may_judge(found, arm, lost, baseline, dropped)}
    # an arm without a test counts as one that found nothing: leaving it out would make the others' claims cheaper
    ps = dict(zip(others, holm([tested[arm].p if arm in tested else 1.0 for arm in others])))
    findings = []
    for arm in arms:
        verdict, says, needed = "baseline", "what the others are compared with", None
        if arm in tested:
            verdict, says, needed = _judged(tested[arm], ps[arm], detect, len(others))
        elif arm != baseline:
            verdict, says = _withheld(arm, baseline, beside[arm], lost, dropped)
        p_holm = ps[arm] if arm in tested else None
        findings.append(Finding(arm, verdict, says, known[arm], lost[arm], beside.get(arm), p_holm, needed))
    return findings


def hopeless(arm: Losses, baseline: Losses) -> bool:
    """Whether an arm is so surely worse after some of its seeds that the others need not be run.

    This can only end an arm, and an arm that was ended is never called better or worse. So it takes claims away and
    adds none: whatever the looks, the chance of a false claim stays what it is without them. Its price is power: each
    look drops an arm that is as good as the baseline one time in a hundred, and a better one more rarely.
    """
    found = compare(*({s: loss for s, loss in side.items() if loss is not None} for side in (arm, baseline)))
    return found is not None and found.seeds >= FEWEST and found.difference > 0 and found.p / 2 < DROP


def _may_judge(
    found: Comparison, arm: str, lost: Mapping[str, tuple[int, ...]], baseline: str, dropped: Mapping[str, int]
) -> bool:
    return found.seeds >= FEWEST and not lost[arm] and not lost[baseline] and arm not in dropped


def _judged(found: Comparison, p_holm: float, detect: float, family: int) -> tuple[str, str, int | None]:
    """(verdict, sentence, seeds needed to see ``detect``)."""
    how = f"{found.seeds} seeds" if found.paired else f"{found.seeds} seeds each, not the same ones"
    if found.spread == 0 and found.difference == 0:
        return "same runs", _same(how), None
    strictest = ALPHA / family  # Holm's first step: the hint is on the safe side
    needed = seeds_needed(detect / found.spread, paired=found.paired, alpha=strictest) if found.spread else FEWEST
    by, low, high = (_nats(x, found) for x in (abs(found.difference), found.low, found.high))
    test = f"p = {_p(p_holm)} after Holm, {how}"
    if p_holm < ALPHA:
        word = "better" if found.difference < 0 else "worse"
        ends = (_nats(-found.high, found), _nats(-found.low, found)) if found.difference < 0 else (low, high)
        return word, f"{word} by {by} [{ends[0]}, {ends[1]}] nats/token, {test}", needed
    says = f"no difference seen: {_nats(found.difference, found, '+')} [{low}, {high}] nats/token, {test}"
    return "no difference seen", f"{says}; {_hint(found, detect, needed, strictest)}", needed


def _hint(found: Comparison, detect: float, needed: int | None, alpha: float) -> str:
    """What these seeds could have seen, and what it takes to see more."""
    could = f"{found.seeds} seeds would most likely show {found.spread * detectable(found.seeds, paired=found.paired, alpha=alpha):.2g}"
    if needed is not None and needed <= found.seeds:
        return f"{could}, so a difference of {detect:g} is unlikely"
    many = f"about {needed}" if needed is not None else f"more than {MOST_SEEDS:,}"
    return f"{could}; to see {detect:g} would need {many}"


def _withheld(
    arm: str,
    baseline: str,
    found: Comparison | None,
    lost: Mapping[str, tuple[int, ...]],
    dropped: Mapping[str, int],
) -> tuple[str, str]:
    """Why there is no verdict on an arm."""
    so_far = "" if found is None else f"{_nats(found.difference, found, '+')} nats/token"
    if arm in dropped:
        return (
            "dropped",
            f"dropped after {dropped[arm]} seeds ({so_far}): surely no gain, and no verdict on how much worse",
        )
    for name in (arm, baseline):
        if lost[name]:
            who = "of its runs" if name == arm else f"of the runs of {baseline}"
            rest = f"; on the others it was {so_far}" if so_far else ""
            return (
                "unstable",
                f"{len(lost[name])} {who} ended without a final loss, so the others are a selection{rest}",
            )
    if found is not None and found.spread == 0 and found.difference == 0:
        return "same runs", _same(f"{found.seeds} seeds")
    n = 0 if found is None else found.seeds
    rest = f" ({so_far})" if so_far else ""
    return (
        "too few seeds",
        f"{n or 'fewer than 2'} seeds cannot tell a difference from chance{rest}; {FEWEST} is the least, 5 is better",
    )


def _same(how: str) -> str:
    return f"the same losses to the last digit in {how}: this setting changes nothing here"


def _nats(x: float, found: Comparison, sign: str = "") -> str:
    """A loss to two digits of its uncertainty."""
    width = (found.high - found.low) / 2
    digits = min(6, max(2, 1 - math.floor(math.log10(width)))) if width > 0 else 4
    return f"{x:{sign}.{digits}f}"


def _p(p: float) -> str:
    return "0.0001 or less" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
