"""From an ablation's design to its runs: every arm with every seed, each arm as long as makes the comparison fair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gptmill.cli.plan import planner_of
from gptmill.cli.studying import check
from gptmill.config.aliases import RENAMED
from gptmill.config.layers import Parts
from gptmill.config.resolve import Resolved
from gptmill.errors import ConfigError
from gptmill.plan.hardware import detect_machine
from gptmill.plan.types import Plan
from gptmill.report.runlog import read_run
from gptmill.study.design import Arm, Design, folder_of
from gptmill.study.findings import hopeless
from gptmill.study.outcome import final_loss
from gptmill.study.record import Run, result

LENGTH = ("max_iters", "epochs", "max_tokens")
HORIZON = "lr_decay_iters"


@dataclass(frozen=True)
class Settled:
    """An arm with its plan. Args: own_length: its settings say how long it trains, and that is meant."""

    arm: Arm
    resolved: Resolved
    plan: Plan
    own_length: bool


def settle(design: Design, parts: Parts | None) -> list[Settled]:
    """Every arm, checked and planned, the baseline first.

    Raises:
        ConfigError: everything wrong with any arm, once; also arms whose losses could not be compared.
    """
    words = {arm.name: (*design.base, *arm.flags) for arm in design.arms}
    resolved = check([Run(name, argv) for name, argv in words.items()], parts)
    machine = detect_machine(resolved[0].config.device, demanded=False)
    settled = [
        Settled(arm, each, planner_of(each, 1)[0](machine), bool(_keys(arm.flags) & {*LENGTH, HORIZON}))
        for arm, each in zip(design.arms, resolved)
    ]
    _require_same_text(settled)
    return settled


def same_settings(base: Sequence[str], parts: Parts | None) -> Callable[[Sequence[str]], bool]:
    """Whether more flags leave the config as it is; what is wrong with them is said when the arms are checked."""
    (plain,) = check([Run("baseline", tuple(base))], parts)

    def same(more: Sequence[str]) -> bool:
        try:
            (found,) = check([Run("arm", (*base, *more))], parts)
        except ConfigError:
            return False
        return found.config == plain.config

    return same


def seeds_of(settled: Sequence[Settled], n: int) -> list[int]:
    first = settled[0].plan.seed
    return list(range(first, first + n))


def runs_of(design: Design, settled: Sequence[Settled], seeds: Sequence[int], paces: Mapping[str, float]) -> list[Run]:
    """Every arm with every seed, seed by seed, so that a study that is cut short is cut evenly.

    Args:
        paces: seconds of a step by arm, for equal time; else empty.
    """
    lengths = {each.arm.name: _length(each, settled[0], design, paces) for each in settled}
    return [
        Run(folder_of(each.arm.name, seed), (*_words(design, each.arm, lengths[each.arm.name]), f"--seed={seed}"))
        for seed in seeds
        for each in settled
    ]


def in_turn(design: Design, study: Path, runs: Sequence[Run], seeds: Sequence[int]) -> Iterator[Run]:
    """The runs in their order; with drop_hopeless without those of an arm that is surely worse by then."""
    whose = {folder_of(arm.name, seed): (arm.name, seed) for arm in design.arms for seed in seeds}
    known: dict[str, dict[int, float | None]] = {arm.name: {} for arm in design.arms}
    for run in runs:
        arm, _ = whose[run.id]
        if design.drop_hopeless and arm != design.baseline and result(study, run).state == "new":
            for other in runs:
                name, seed = whose[other.id]
                asked = name in (arm, design.baseline) and seed not in known[name]
                if asked and result(study, other).state == "finished":
                    known[name][seed] = final_loss(read_run(study / other.id))
            if hopeless(known[arm], known[design.baseline]):
                continue
        yield run


def _length(each: Settled, baseline: Settled, design: Design, paces: Mapping[str, float]) -> tuple[int, int] | None:
    """(max_iters, lr_decay_iters) that spend as much as the baseline; None where the plan's own do."""
    if each is baseline or each.own_length:
        return None

    def step(one: Settled) -> float:
        if design.view == "time":
            return paces[one.arm.name]
        return one.plan.tokens_per_iter * (one.plan.flops_per_token if design.view == "flops" else 1.0)

    steps = max(1, round(baseline.plan.max_iters * step(baseline) / step(each)))
    if steps == each.plan.max_iters:
        return None
    return steps, max(1, round(baseline.plan.lr_decay_iters * steps / max(1, baseline.plan.max_iters)))


def _words(design: Design, arm: Arm, length: tuple[int, int] | None) -> tuple[str, ...]:
    words = (*design.base, *arm.flags)
    if length is None:
        return words
    return (*without_length(words), f"--max_iters={length[0]}", f"--{HORIZON}={length[1]}")


def without_length(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if not _keys([word]) & {*LENGTH, HORIZON})


def _keys(flags: Sequence[str]) -> set[str]:
    names = [flag[2:].partition("=")[0].replace("-", "_") for flag in flags if flag.startswith("--")]
    return {RENAMED.get(name, name) for name in names}


def _require_same_text(settled: Sequence[Settled]) -> None:
    """Losses per token compare only over the same text in the same tokens."""
    first = settled[0].plan
    problems = []
    for each in settled[1:]:
        pairs = {
            "dataset": (each.plan.data_path, first.data_path),
            "tokenizer": (each.resolved.config.tokenizer, settled[0].resolved.config.tokenizer),
            "vocab_size": (each.plan.shape.vocab_size, first.shape.vocab_size),
        }
        if unlike := [f"{key} {mine} in place of {theirs}" for key, (mine, theirs) in pairs.items() if mine != theirs]:
            problems.append(
                f"arm {each.arm.name}: {', '.join(unlike)}: losses per token of other text or other tokens cannot be "
                f"compared with those of {settled[0].arm.name}; give all arms the same"
            )
    if problems:
        raise ConfigError(*problems)
