"""``gptmill ablate``: which of some changes is worth having, found with several seeds of each and said with its doubt."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.ablate_results import conclude
from gptmill.cli.arms import in_turn, runs_of, same_settings, seeds_of, settle
from gptmill.cli.foresight import list_runs
from gptmill.cli.own_parts import import_parts
from gptmill.cli.paces import measured_paces
from gptmill.cli.report import writable
from gptmill.cli.say import say
from gptmill.cli.study_options import UNASKED, Flag, StudyOptions
from gptmill.cli.studying import carry_out, check, hold, places_for, prepare, split
from gptmill.config.files import find_config, text_of
from gptmill.config.layers import Parts
from gptmill.config.yamlfile import ARMS, PARAMETERS, SWEEP
from gptmill.config.yamltree import read_tree
from gptmill.errors import UserError
from gptmill.study.design import Design, positive_number, read_design, view_named, whole_number
from gptmill.study.design import vary as varied
from gptmill.study.record import keep_runs
from gptmill.study.statistics import require_scipy

KIND = "ablation"


@Parameter(name="*")
@dataclass(frozen=True)
class Wishes:
    """What the command line says of a study, in place of its file.

    Parameters
    ----------
    vary
        KEY=VALUE,VALUE: an arm for each value, one setting at a time, beside the config as it is.
    seeds
        Runs of each arm; 5 if nothing else is said, 3 the least that allow a verdict.
    view
        What all arms may spend as much of as the baseline: tokens, flops or time (the pace is measured first).
    detect
        The difference worth seeing [nats/token], 0.01 if nothing else is said: for the hint how many seeds it takes.
    drop_hopeless
        Run no further seeds of an arm that is surely worse after three; it gets no verdict then.
    """

    vary: Annotated[list[str] | None, Parameter(negative="")] = None
    seeds: str | None = None
    view: str | None = None
    detect: str | None = None
    drop_hopeless: Flag = False

    def over(self, design: Design) -> Design:
        return replace(
            design,
            seeds=design.seeds if self.seeds is None else whole_number(self.seeds, "--seeds"),
            view=design.view if self.view is None else view_named(self.view, "--view"),
            detect=design.detect if self.detect is None else positive_number(self.detect, "--detect"),
            drop_hopeless=design.drop_hopeless or self.drop_hopeless,
        )

    @property
    def words(self) -> list[str]:
        """As they are typed."""
        given = {"seeds": self.seeds, "view": self.view, "detect": self.detect}
        return [
            *(f"--vary={option}" for option in self.vary or ()),
            *(f"--{key}={value}" for key, value in given.items() if value),
            *(["--drop_hopeless"] if self.drop_hopeless else []),
        ]


def ablate(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    wishes: Wishes = Wishes(),
    out_dir: Path | None = None,
    out: Path | None = None,
    options: StudyOptions = UNASKED,
) -> int:
    """Train every arm of a study with the same seeds, and say which differ from the baseline. The same command goes on.

    Parameters
    ----------
    argv
        A study file (a path, or a name such as ablate_gpt2_to_llama), or configs; then --key=value settings for all arms.
    out_dir
        The folder of the run folders; without it out-NAME after the study file, or out-ablate.
    out
        The HTML page to write; without it, ablation.html in the folder of the study.
    """
    options.check()
    parts = import_parts(options.import_)
    design, name = asked_for(argv, wishes, parts)
    if design.view == "time" and (options.parallel or 1) > 1:
        told = f"--parallel={options.parallel}"
        raise UserError(f"{told}: runs beside each other slow each other; leave it out with --view=time")
    settled = settle(design, parts)
    resolved = [each.resolved for each in settled]
    numbers = seeds_of(settled, design.seeds)
    if options.dry_run:
        if design.view == "time":
            say("steps as if all arms had one pace; it is measured before the first run")
        runs = runs_of(design, settled, numbers, dict.fromkeys([arm.name for arm in design.arms], 1.0))
        places, _ = places_for(1 if design.view == "time" else options.parallel, resolved)
        return list_runs(runs, check(runs, parts), places=places, json=options.json)
    require_scipy()
    page = writable(out, "--out") if out is not None else None
    prepare(resolved)
    study = out_dir or Path(f"out-{name}")
    hold(study)
    paces, code = measured_paces(design, settled, study, options) if design.view == "time" else ({}, 0)
    if code:
        return code
    runs = runs_of(design, settled, numbers, paces)
    keep_runs(study, KIND, runs)
    coming = in_turn(design, study, runs, numbers)
    results, code = carry_out(study, coming, options=options, n_runs=len(runs), resolved=resolved)
    if code < 128:
        command = shlex.join(["gptmill", "ablate", *argv, *wishes.words])
        conclude(design, settled, study, results, numbers, command, page, json=options.json)
    return code


def asked_for(argv: Sequence[str], wishes: Wishes, parts: Parts) -> tuple[Design, str]:
    """The design, and what to call its folder.

    Raises:
        UserError: neither a study file nor anything to vary, or both.
    """
    configs, flags = split(argv, ablate)
    options = wishes.vary or []
    texts = {name: text_of(found) for name in configs if (found := find_config(name)).shown.endswith((".yaml", ".yml"))}
    studies = [name for name, text in texts.items() if ARMS.search(text)]
    if sweeps := [name for name, text in texts.items() if SWEEP.search(text) and PARAMETERS.search(text)]:
        says = "is a sweep, which ranks settings and judges none; `gptmill sweep` carries it out, and a study has arms:"
        raise UserError(f"{sweeps[0]}: {says} (docs/guide/ablate.md)")
    if not studies:
        if not options:
            raise UserError(
                "gptmill ablate: nothing to compare; add --vary KEY=VALUE,VALUE, or name a study such as ablate_gpt2_to_llama"
            )
        base = [*configs, *flags]
        return wishes.over(varied(options, base, same_settings(base, parts))), "ablate"
    if options or len(configs) > 1:
        more = f"--vary {options[0]}" if options else next(name for name in configs if name != studies[0])
        raise UserError(f"{more}: {studies[0]} is a study, which names its own configs and arms; leave one of them out")
    found = find_config(studies[0])
    design = read_design(read_tree(texts[studies[0]], found.shown), found.shown)
    return wishes.over(replace(design, base=(*design.base, *flags))), Path(found.shown).stem
