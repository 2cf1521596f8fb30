"""``gptmill export``: a run's weights in the form that other programs load."""

from __future__ import annotations

import json as json_format
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from gptmill import durable
from gptmill.cli.runs import chosen_run, read_tokenizer
from gptmill.cli.say import say
from gptmill.cli.weights import Weights, read_weights, tensors_in
from gptmill.data.tokenizers import Tokenizer
from gptmill.errors import DataError, UserError
from gptmill.interop.architecture import config_of
from gptmill.units import size

Flag = Annotated[bool, Parameter(negative="")]


def export(
    *,
    run: Annotated[str | None, Parameter(name=["--run", "--out_dir"])] = None,
    format: Literal["huggingface", "nanogpt"] = "huggingface",
    out: Path,
    overwrite: Flag = False,
    json: Flag = False,
) -> None:
    """Write a run's best checkpoint for other programs: weights, sizes, tokenizer; no code.

    Parameters
    ----------
    run
        Run folder; the newest here unless said otherwise.
    format
        huggingface: a folder for AutoModelForCausalLM.from_pretrained, in GPT-2's or LLaMA's layout. nanogpt: a folder
        with ckpt.pt for its sample.py.
    out
        Folder to write.
    overwrite
        Replace a folder of that name that an export made.
    json
        Print one JSON object on stdout.
    """
    out = Path(os.path.expanduser(out))  # a shell leaves the ~ of --out=~/x alone
    folder = chosen_run(run)
    _check_free(out, overwrite)
    weights = read_weights(folder)
    tokenizer = _tokenizer(folder)
    if format == "huggingface":
        config = config_of(weights.shape, tokenizer.end_of_text if tokenizer else None)
        layout = config["architectures"][0]
        files = _huggingface(weights, config, tokenizer)
    else:
        layout = "nanoGPT"
        files = _nanogpt(weights, folder)
    n_bytes = _write(out, files, overwrite)
    if json:
        print(json_format.dumps({"out": str(out), "layout": layout, "step": weights.step, "bytes": n_bytes}))
    else:
        say(f"{out}: {layout} of step {weights.step}, {size(n_bytes)}")


def _tokenizer(folder: Path) -> Tokenizer | None:
    try:
        return read_tokenizer(folder)
    except UserError:
        say(f"{folder}: its dataset came without a tokenizer, so none is written")
        return None


Files = Callable[[Path], None]


def _huggingface(weights: Weights, config: dict[str, Any], tokenizer: Tokenizer | None) -> Files:
    from gptmill.data.tokenizers.exchange import as_files
    from gptmill.interop.huggingface import as_gpt2, as_llama
    from gptmill.train.tensorfile import write_tensors

    end = config["eos_token_id"]
    texts = {
        "config.json": json_format.dumps(config, indent=2) + "\n",
        "generation_config.json": json_format.dumps({"bos_token_id": end, "eos_token_id": end}, indent=2) + "\n",
    }
    if tokenizer is not None:
        try:
            known = as_files(tokenizer, weights.shape.block_size)
        except DataError as error:
            say(*error.problems, "the tokenizer is left out")
        else:
            texts |= known or {}
            if known is None:
                say(f"tokenizer {tokenizer.name}: has no form that Hugging Face's tokenizers read; it is left out")
    layout = as_gpt2 if config["model_type"] == "gpt2" else as_llama

    def write(fresh: Path) -> None:
        theirs = dict(layout(tensors_in(weights), weights.shape))
        write_tensors(fresh / "model.safetensors", theirs, {"format": "pt"})
        for name, text in texts.items():
            durable.create(fresh / name, text.encode())

    return write


def _nanogpt(weights: Weights, folder: Path) -> Files:
    from gptmill.interop.nanogpt import as_checkpoint

    numbers, dataset = _recorded(weights.path, folder)
    checkpoint = as_checkpoint(
        tensors_in(weights), weights.shape, iter=weights.step, best_val_loss=numbers, dataset=dataset
    )

    def write(fresh: Path) -> None:
        import torch

        with open(fresh / "ckpt.pt", "xb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    return write


def _recorded(checkpoint: Path, folder: Path) -> tuple[float | None, str]:
    """The best validation loss so far, and the dataset's name."""
    found = []
    for path, key in ((checkpoint / "state.json", "best_val_loss"), (folder / "plan.json", "dataset")):
        try:
            found.append(json_format.loads(path.read_bytes())[key])
        except (OSError, ValueError, KeyError, TypeError):
            found.append(None)
    loss, dataset = found
    return (loss if isinstance(loss, float) else None), (dataset if isinstance(dataset, str) else "unknown")


EXPORTED = {
    "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.json",
    "merges.txt", "ckpt.pt",
}  # fmt: skip


def _check_free(out: Path, overwrite: bool) -> None:
    if not os.path.lexists(out):
        return
    if not out.is_dir() or out.is_symlink():
        raise UserError(f"--out {out}: is there already and no folder; name a new one")
    names = set(os.listdir(out))
    if names and not overwrite:
        raise UserError(f"--out {out}: is not empty; name a new folder, or --overwrite replaces an earlier export")
    if strange := sorted(names - EXPORTED):
        raise UserError(f"--out {out}: holds {strange[0]}, which no export writes; name another folder")


def _write(out: Path, files: Files, overwrite: bool) -> int:
    """Fill a folder beside the place, then put it there: whole or not at all. Returns its bytes."""
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}; choose another place") from None
    try:
        files(fresh)
        durable.sync_folder(fresh)
        _check_free(out, overwrite)
        if out.is_dir():
            shutil.rmtree(out)
        os.rename(fresh, out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    os.chmod(out, 0o755)
    for file in out.iterdir():
        os.chmod(file, 0o644)
    durable.sync_folder(out.absolute().parent)
    return sum(file.stat().st_size for file in out.iterdir())
