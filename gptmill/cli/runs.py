"""The run folder that a command reads: which one it is, and what text its ids stand for."""

from __future__ import annotations

import glob
import json
import os
from pathlib import Path

from gptmill.cli.say import say
from gptmill.data.tokenizers import Tokenizer, load_tokenizer
from gptmill.data.tokenizers.gpt2 import Gpt2ByName
from gptmill.errors import CheckpointError, UserError
from gptmill.plain import read_plain
from gptmill.plan.shape import FIXED_VOCAB_SIZES, GPT2_VOCAB_SIZE

GPT2_VOCABULARIES = range(FIXED_VOCAB_SIZES["gpt2"], GPT2_VOCAB_SIZE + 1)  # as it is, up to its rounded size


def chosen_run(name: str | None) -> Path:
    """The run folder named, or without a name the newest here.

    Raises:
        UserError: what was named is not a run folder.
        CheckpointError: there is none here.
    """
    folder = Path(os.path.expanduser(name)) if name is not None else newest_run(Path())
    hint_at_newer(folder)
    of = Path(os.path.realpath(folder)).parent.parent
    if (folder / "manifest.json").is_file() and (of / "plan.json").is_file():
        raise UserError(f"--run {folder}: a checkpoint; name its run: --run {os.path.relpath(of)}")
    if not (folder / "plan.json").is_file():
        raise UserError(f"--run {folder}: not a run folder (no plan.json); name one that gptmill train made")
    return folder


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of the data that the run was trained on; GPT-2's where only the vocabulary's size speaks for it.

    Raises:
        UserError: nothing says what the ids mean.
    """
    if (folder / "tokenizer").is_dir():
        return load_tokenizer(folder / "tokenizer")
    if vocabulary(folder) in GPT2_VOCABULARIES:
        say(f"{folder}: its dataset came without a tokenizer; taking GPT-2's, as nanoGPT does")
        return Gpt2ByName()
    if imported(folder):
        raise UserError(
            f"--run {folder}: was imported without a tokenizer; import it once more with --tokenizer NAME --overwrite, "
            f"where NAME says what its ids stand for"
        )
    raise UserError(
        f"--run {folder}: its dataset came without a tokenizer, so ids cannot be turned into text; put the text, as "
        "input.txt, beside train.bin before training (nanoGPT's characters), or use gptmill prepare"
    )


def vocabulary(folder: Path) -> int | None:
    """vocab_size of the run's model; None when plan.json does not tell."""
    try:
        return int(json.loads(read_plain(folder / "plan.json"))["shape"]["vocab_size"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def imported(folder: Path) -> bool:
    """Whether a run folder was made of a model from elsewhere: nothing was trained here, and no text belongs to it."""
    try:
        return bool(json.loads(read_plain(folder / "plan.json"))["train_tokens"] is None)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def hint_at_newer(folder: Path) -> None:
    """Say so when a later run of the same config went to X-2, X-3, ...: the one named may not be the one meant."""
    mine = folder / "metrics.jsonl"
    others = folder.parent.glob(f"{glob.escape(folder.name)}-*/metrics.jsonl")
    newer = sorted(path for path in others if mine.exists() and path.stat().st_mtime > mine.stat().st_mtime)
    if newer:
        say(f"{folder} is not the newest: {', '.join(str(path.parent) for path in newer)}")


def newest_run(here: Path) -> Path:
    """The out* folder whose run was active last."""
    runs = sorted(here.glob("out*/metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise CheckpointError("--run: no run folder named out* here; name one, or run gptmill train quick first")
    say(f"newest run: {runs[-1].parent}")
    return runs[-1].parent
