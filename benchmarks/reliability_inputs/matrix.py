"""Every config key changed once before a resume, by a flag and by a file: never without a word, and never other bits than promised."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.reliability.runs import share_templates
from benchmarks.reliability_inputs.workshop import Ended, Workshop
from gptmill.config.schema import Config
from gptmill.train.changes import FREE, IMPOSSIBLE, NEEDS_FLAG, ROUNDING
from tests.cli.run import SMALL, prepare_tiny
from tests.cli.test_resume_config import FLAGS, OTHER

HERE = {
    **{"preset": "small", "data_dir": "elsewhere", "max_iters": 14, "epochs": 0.05, "max_tokens": 900},
    **{"eval_interval": 5, "eval_iters": 3, "log_interval": 2, "always_save_checkpoint": False},
    **{"snapshot_interval": 3, "checkpoint_minutes": 1.0, "keep_last_n_snapshots": 5, "checkpoint_file": "half/best"},
    **{"delete_snapshots_after_training": True, "early_stopping": True, "early_stop_patience": 9},
    **{"early_stop_min_delta": 0.1, "early_stop_restore_best": False, "early_stop_overfit_patience": 9},
    **{"early_stop_overfit_min_delta": 0.5, "gradient_monitor": False, "gradient_log_interval": 3},
    **{"weight_monitor": False, "weight_monitor_interval": 5, "weight_monitor_sample_size": 16, "log_style": "full"},
    **{"save_log_to_json": False, "log_save_interval": 3, "tensorboard_log": True, "wandb_log": True},
    **{"wandb_project": "p", "wandb_run_name": "n", "wandb_entity": "e", "generate_interval": 4},
    **{"num_generate_samples": 2, "generate_max_length": 20, "temperature": 0.5, "generate_top_k": 5, "top_p": 0.9},
    **{"optimizer": "sgd", "max_samples": 7},
}  # fmt: skip
SAID_BY_THE_COMMAND = (
    "out_dir",
    "init_from",
    "eval_only",
)  # what is to be done now, and with which run: not of the record
ANOTHER_END = ("max_iters", "epochs", "max_tokens")  # the same steps, fewer of them
TOLD_AS = {"gradient_accumulation_steps": "effective_batch_size", "min_lr_ratio": "min_lr", "max_samples": "tiny-first-7",
           "decay_lr": "schedule", "auto_batch_size": "when tried"}  # fmt: skip
NEEDS = {"lr_scaling": ["--reference_batch_size=2"]}  # a rule over two keys
# What may come of it: the table's word for it by flag, and by file.
EXPECTED = {**dict.fromkeys(IMPOSSIBLE, ("refused", "refused")), **dict.fromkeys(NEEDS_FLAG, ("taken", "refused")),
            **dict.fromkeys((*ROUNDING, *FREE), ("taken", "taken")), "preset": ("refused", "refused")}  # fmt: skip


def trial(work: Path, scale: float) -> dict[str, Any]:
    """Args: scale: below 1, only that share of the keys."""
    os.environ["WANDB_MODE"] = "disabled"
    shop, whole = Workshop(work / "out"), work / "whole"
    whole.mkdir()
    prepare_tiny(whole)
    words = ["train", *SMALL, "--dropout=0.1", *(f"--{key}={value}" for key, value in FLAGS.items())]
    done = shop.command(whole, *words, "--out_dir=half", "--max_iters=10")
    assert done.code == 0, done.err
    share_templates(whole / "half")
    folder = _copied(whole, work)
    done = shop.command(folder, *_resumed())
    assert done.code == 0, done.err
    undisturbed, plan = _weights(done), _decided(folder / "half")

    keys = [key for key in Config.model_fields if key not in SAID_BY_THE_COMMAND][:: max(1, round(1 / scale))]
    counts: dict[str, Counter[str]] = {"flag": Counter(), "file": Counter()}
    failures: list[str] = []
    for key in keys:
        for number, way in enumerate(counts):
            folder = _copied(whole, work)
            value = {**OTHER, **HERE}[key]
            (folder / "mine.py").write_text(f"{key} = {value!r}\n")
            ended = shop.command(
                folder, *_resumed(f"--{key}={value}" if way == "flag" else "mine.py", key), *NEEDS.get(key, [])
            )
            outcome = "refused" if ended.code in (2, 3) else "taken" if ended.code == 0 else f"exit {ended.code}"
            expected = EXPECTED[key][number]
            counts[way][_class(key) if outcome == expected else "wrong"] += 1
            if outcome != expected:
                failures.append(f"{key} by {way}: {outcome}, not {expected}: {ended.err.strip()[-200:]}")
                continue
            same = _decided(folder / "half") == plan
            failures += [f"{key} by {way}: {problem}" for problem in _problems(key, ended, undisturbed, same)]
    print(
        f"resume matrix: {len(keys)} keys by flag and by file: "
        + "; ".join(f"{way}: {', '.join(f'{n} {what}' for what, n in found.items())}" for way, found in counts.items())
        + f"; {len(failures)} silent or otherwise wrong"
    )
    return {
        "good": not failures,
        "keys": len(keys),
        "not_tried": list(SAID_BY_THE_COMMAND),
        **{f"by_{way}": dict(found) for way, found in counts.items()},
        "silent": sum("silent" in failure for failure in failures),
        "failures": failures,
    }


def _class(key: str) -> str:
    return next(
        name
        for name, keys in (
            ("refused", IMPOSSIBLE),
            ("needs a flag", NEEDS_FLAG),
            ("rounding", ROUNDING),
            ("free", FREE),
        )
        if key in keys
    )


def _copied(whole: Path, work: Path) -> Path:
    folder = work / "case"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder, symlinks=True)
    (folder / "elsewhere").symlink_to("data")
    return folder


def _resumed(*changed: str) -> list[str]:
    """The command that goes on to step 20, with one change of a key, which comes last in ``changed``."""
    ends = [] if changed[1:] in (("epochs",), ("max_tokens",), ("max_iters",)) else ["--max_iters=20"]
    return ["train", *changed[:1], "--resume", "--out_dir=half", *ends, "--json"]


def _decided(run: Path) -> dict[str, Any]:
    """A run's plan without the advice, which may be that a setting is not used."""
    plan: dict[str, Any] = json.loads((run / "plan.json").read_text())
    return {key: value for key, value in plan.items() if key != "advice"}


def _weights(ended: Ended) -> str | None:
    return json.loads(ended.out)["weights_sha256"] if ended.code == 0 else None


def _problems(key: str, ended: Ended, undisturbed: str | None, same_plan: bool) -> list[str]:
    """What must not be in how a resume ended as expected."""
    lines = [line for line in ended.err.splitlines() if key in line or TOLD_AS.get(key, key) in line]
    if ended.code:
        return [] if lines and "Traceback" not in ended.err else [f"refused without its name: {ended.err[-200:]}"]
    told = any("->" in line or "when tried" in line for line in lines)
    found = [] if told or same_plan else [f"silent: another plan, and no word of it: {ended.err[:300]}"]
    if key in FREE and key not in ANOTHER_END and _weights(ended) != undisturbed:
        found.append("free, and other weights came of it")
    return found
