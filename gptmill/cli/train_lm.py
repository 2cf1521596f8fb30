"""``gptmill train-lm``: ``gptmill train`` with the defaults, the folder names and the switches of a train_lm.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.own_parts import Import, import_parts
from gptmill.cli.profiling import Profile
from gptmill.cli.refusals import refusals_told
from gptmill.cli.resuming import load_run
from gptmill.cli.say import say
from gptmill.cli.train import Flag
from gptmill.config.layers import ENTRANCE
from gptmill.config.load import glance
from gptmill.parallel.launch import find_place

DEFAULTS: dict[str, object] = {
    "dataset": "wikitext",
    **{"n_layer": 4, "n_head": 4, "n_embd": 256, "block_size": 256, "dropout": 0.1, "bias": True},
    **{"epochs": 20, "batch_size": 32, "gradient_accumulation_steps": 1},
    **{"learning_rate": 3e-4, "warmup_iters": 1000, "min_lr_ratio": 0.1, "weight_decay": 0.1, "grad_clip": 1.0},
    **{"eval_interval": "epoch", "log_interval": 100, "delete_snapshots_after_training": True},
}
FFN_DIM = 512  # of a model without a preset; presets are four times as wide as their n_embd

# Asked for elsewhere and of no use here: flag, its dashes as underscores -> (takes a value, why).
WITHOUT_USE: dict[str, tuple[bool, str]] = {
    "_y": (False, "nothing here asks a question"),
    "__yes": (False, "nothing here asks a question"),
    "__info": (False, "see --help, and `gptmill plan` with the same arguments"),
    "__sanity_check_interval": (True, "every step is checked for non-finite numbers"),
}


def train_lm(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    json: Flag = False,
    explain: Flag = False,
    overwrite: Flag = False,
    force: Flag = False,
    profile: Profile = None,
    import_: Import = None,
) -> int:
    """Train as `gptmill train` does, by epochs, into lm_DATASET; with --resume and no dataset, go on with the newest.

    Parameters
    ----------
    argv
        Config files and --key=value settings, as given to train; --model_preset is tiny, small or medium.
    json
        Print one JSON object with the result on stdout.
    explain
        Print every setting and where it came from, and train nothing.
    overwrite
        Delete the run that is in the run folder and start anew.
    force
        Start what does not fit in memory or on the disk, by the plan.
    import_
        A Python module with parts of your own, registered when it is imported.
    """
    if (place := find_place()).rank:
        from gptmill.cli.ranks import follow

        return 0 if explain else follow(place, import_)
    words, remarks = without_use(list(argv))
    say(*remarks)
    with refusals_told(place):
        resolved = load_run(words, entrance(words), import_parts(import_))
    if explain:
        from gptmill.cli.explain import explain as show

        return show(resolved)
    from gptmill.cli.training import carry_out

    return carry_out(resolved, json=json, overwrite=overwrite, force=force, profile=profile, furnish=furnish)


def entrance(argv: list[str]) -> dict[str, object]:
    """The defaults for this command line: the run folder is named after the dataset."""
    wish = glance(argv, DEFAULTS, "dataset", "init_from", "preset")
    if wish is None:  # something is wrong with one of these; load says what
        return DEFAULTS
    config = wish.config
    folder = f"lm_{config.dataset.replace('/', '_')}"
    newest = max(Path().glob("lm_*/metrics.jsonl"), key=lambda path: path.stat().st_mtime, default=None)
    if config.init_from == "resume" and wish.origins["dataset"] == ENTRANCE and newest is not None:
        folder = str(newest.parent)
    return {**DEFAULTS, "out_dir": folder, **({} if config.preset else {"ffn_dim": FFN_DIM})}


def without_use(argv: list[str]) -> tuple[list[str], list[str]]:
    """Take out the switches that ask for nothing here; returns the rest, and a remark on each that was there."""
    rest: list[str] = []
    remarks: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, _ = word.partition("=")
        takes_value, why = WITHOUT_USE.get(name.replace("-", "_"), (False, ""))
        if not why:
            rest.append(word)
            continue
        if takes_value and not equals and words and not words[0].startswith("-"):
            words.pop(0)
        remarks.append(f"{name}: no effect: {why}")
    return rest, remarks


def furnish(run_dir: Path) -> None:
    """The folders that a train_lm.py leaves: models and snapshots are both what checkpoints/ holds."""
    for name in ("models", "snapshots"):
        if not os.path.lexists(run_dir / name):
            os.symlink("checkpoints", run_dir / name)
    (run_dir / "tensorboard").mkdir(exist_ok=True)
