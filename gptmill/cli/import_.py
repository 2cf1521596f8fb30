"""``gptmill import``: weights of other programs become a run folder, which every command here takes."""

from __future__ import annotations

import json as json_format
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gptmill.cli import pretrained
from gptmill.cli.say import say
from gptmill.cli.weights import is_possible
from gptmill.config.layers import Setting
from gptmill.config.resolve import resolve
from gptmill.config.wording import one_line
from gptmill.data.tokenizers import Tokenizer, make_tokenizer
from gptmill.errors import UserError
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts
from gptmill.shapes import ModelShape
from gptmill.track.describe import describe, is_run
from gptmill.track.whole_run import whole_run
from gptmill.units import count

if TYPE_CHECKING:
    from gptmill.interop.huggingface import Named

Flag = Annotated[bool, Parameter(negative="")]
PICKLED, CHECKPOINT = "pytorch_model.bin", "ckpt.pt"


@dataclass(frozen=True)
class Found:
    """A model of another program.

    Args:
        weights: opens them, under our names, to be read one by one.
        tokenizer: what was found beside it.
    """

    shape: ModelShape
    weights: Callable[[], Named]
    tokenizer: Tokenizer | None = None
    step: int = 0
    best_val_loss: float | None = None


def import_(
    path: str,
    *,
    out: Annotated[Path, Parameter(name=["--out", "--out_dir"])],
    tokenizer: str | None = None,
    overwrite: Flag = False,
    json: Flag = False,
) -> None:
    """Make a run folder of a model: for sample, eval, export, and train --init_from.

    Parameters
    ----------
    path
        A folder in Hugging Face's layout (GPT-2, LLaMA, Mistral, Qwen3), a name on the Hub, or nanoGPT's ckpt.pt or the
        folder that holds it.
    out
        Run folder to write.
    tokenizer
        What its ids stand for, where no tokenizer is found beside it: a name such as gpt2, or a folder with one:
        a run's, a dataset's, a model's.
    overwrite
        Delete the run that is in the folder.
    json
        Print one JSON object on stdout.
    """
    out = Path(os.path.expanduser(out))  # a shell leaves the ~ of --out=~/x alone
    if is_run(out) and not overwrite:
        raise UserError(f"--out {out}: holds a run already; --overwrite replaces it, or name another folder")
    known = make_tokenizer(tokenizer) if tokenizer else None  # a wrong name shows before anything is read
    found = _find(path)
    if not is_possible(found.shape):
        raise UserError(f"{one_line(path)}: no model could have these sizes: {found.shape}")
    if known is not None and known.vocab_size > found.shape.vocab_size:
        raise UserError(
            f"--tokenizer {tokenizer}: knows {known.vocab_size:,} ids, {one_line(path)} only {found.shape.vocab_size:,}: its ids "
            f"stand for other text; name the tokenizer it was trained with, or leave --tokenizer out"
        )
    known = known or found.tokenizer
    if known is None:
        say(
            f"{path}: no tokenizer of a kind that gptmill has; its ids stay numbers unless --tokenizer says what they are"
        )
    written = write_run(found, known, path, out, overwrite)
    if json:
        print(json_format.dumps(written))
    else:
        hint = f"; try it: gptmill sample --run {out}" if known else ""
        say(f"{out}: {count(written['params'])} parameters from {path}, verified{hint}")


def _find(path: str) -> Found:
    file = Path(os.path.expanduser(path))
    if file.is_file():
        return _nanogpt(file)
    if (file / CHECKPOINT).is_file() and not (file / pretrained.CONFIG).exists():
        return _nanogpt(file / CHECKPOINT)
    if (file / PICKLED).is_file() and not any(file.glob("model*.safetensors")):
        return _pickled(file)
    source = pretrained.fetch(path)
    if source.ours:
        raise UserError(f"{one_line(path)}: gptmill's own already; name it as --run or --init_from")
    return Found(source.shape, lambda: iter(pretrained.weights_of(source, set())), pretrained.tokenizer_of(source))


def _nanogpt(file: Path) -> Found:
    from gptmill.interop import nanogpt

    found = nanogpt.read_pickle(file)
    shape = nanogpt.shape_of(found, file)
    step = found.get("iter_num")
    step = step if type(step) is int and 0 <= step < 10**12 else 0
    return Found(shape, lambda: nanogpt.weights_of(found), None, step, nanogpt.best_loss(found))


def _pickled(folder: Path) -> Found:
    """Hugging Face's older files. An index of several is not read: their own save_pretrained writes safetensors today."""
    from gptmill.interop.huggingface import gpt2_weights, llama_weights
    from gptmill.interop.nanogpt import read_pickle

    shape = pretrained.read_shape(folder / pretrained.CONFIG)
    found = read_pickle(folder / PICKLED)
    tokenizer = pretrained.tokenizer_of(pretrained.Source(str(folder), shape, folder))
    gpt2 = shape.position_encoding == "learned_absolute"
    return Found(shape, lambda: gpt2_weights(found) if gpt2 else llama_weights(found, shape.head_dim), tokenizer)


def write_run(found: Found, tokenizer: Tokenizer | None, path: str, out: Path, overwrite: bool) -> dict[str, Any]:
    """A run folder with one checkpoint, committed and read back as any; returns what --json prints."""
    layer = {**pretrained.settings_of(found.shape, path), "init_from": Setting("scratch", f"import {one_line(path)}")}
    resolved = resolve([{"out_dir": Setting(str(out), "--out")}], layer)
    plan = make_plan(resolved.config, data=None, machine=detect_machine("cpu"))
    name = tokenizer.name if tokenizer else None
    data = DataFacts(plan.dataset, plan.data_path, 0, 0, found.shape.vocab_size, name, None)
    from gptmill.cli.parts import new_state
    from gptmill.interop.tensors import fill
    from gptmill.train.checkpoint import save
    from gptmill.train.facts import run_facts
    from gptmill.train.members import weights_sha256
    from gptmill.train.retention import mark_best

    state = new_state(plan)
    state.iter, state.best_val_loss = found.step, found.best_val_loss
    with whole_run(out, overwrite=overwrite) as (run_dir, fresh):
        say(*run_dir.notices)
        fill(state.model, found.weights(), path)
        save_tokenizer = tokenizer.save if tokenizer else None
        describe(fresh, resolved.config.model_dump(), resolved.origins, plan, save_tokenizer=save_tokenizer)
        saved = save(fresh, state, run_facts(plan, data), best=True)
        mark_best(fresh, saved.path)
    return {
        "run_dir": str(out),
        "params": plan.params,
        "architecture": plan.architecture,
        "tokenizer": name,
        "weights_sha256": weights_sha256(state.model),
    }
