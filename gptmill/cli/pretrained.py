"""``init_from``: a model that a new run begins with. What it is is settled without torch, before the plan; its weights come later.

It may be one that OpenAI published (gpt2, gpt2-medium, ...), a folder in Hugging Face's layout, a run folder or a checkpoint
of gptmill, or a name on the Hub (OWNER/NAME).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill.cli.say import say
from gptmill.cli.weights import best_first, is_possible, shape_in
from gptmill.config.layers import Layer, Setting
from gptmill.config.own import OwnConfig
from gptmill.config.resolve import Resolved
from gptmill.config.rules.names import names_model
from gptmill.config.wording import one_line
from gptmill.data.facts import other_tokenizer
from gptmill.data.tokenizers import Tokenizer, load_tokenizer
from gptmill.errors import CheckpointError, DataError, UserError
from gptmill.interop.architecture import PUBLISHED, shape_of
from gptmill.plain import read_plain
from gptmill.plan.types import DataFacts, Plan
from gptmill.shapes import ModelShape
from gptmill.track.describe import is_run
from gptmill.train import manifest
from gptmill.train.start import check_start

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG = "config.json"
# of a shape: how it is computed
NO_WEIGHTS = frozenset({"dropout", "attention_backend", "activation_checkpointing", "chunked_loss"})
OWNER = "openai-community/"  # of the published models on the Hub


@dataclass(frozen=True)
class Source:
    """A model to begin with.

    Args:
        name: as init_from has it.
        folder: where its files are; None = on the Hub, as ``repo``.
        ours: the folder is a checkpoint of gptmill's, not in Hugging Face's layout.
    """

    name: str
    shape: ModelShape
    folder: Path | None
    repo: str = ""
    ours: bool = False


def find(name: str) -> Source:
    """What a name stands for, and the shape of its model; at most a config.json is downloaded for that.

    Raises:
        UserError: it is no model, or not one that gptmill can compute.
    """
    path = Path(os.path.expanduser(name))
    if path.is_dir():
        return _local(name, path)
    if path.is_file():
        raise UserError(f"init_from={one_line(name)}: a file; `gptmill import {one_line(name)} --out DIR` makes it DIR")
    if not names_model(name):
        raise UserError(
            f"init_from={one_line(name)}: no such folder or file, and no name on the Hub, which is OWNER/NAME; look for a "
            f"slip in the path"
        )
    repo = f"{OWNER}{name}" if name in PUBLISHED else name
    if name in PUBLISHED:
        return Source(name, PUBLISHED[name], None, repo)
    from gptmill.interop import hub

    config = hub.in_cache(repo, CONFIG) or hub.download(repo, hub.CONFIG, f"init_from={name}") / CONFIG
    return Source(name, read_shape(config), None, repo)


def _local(name: str, path: Path) -> Source:
    if (path / manifest.MANIFEST).is_file():
        checkpoint = Path(os.path.realpath(path))  # RUN/best is a link
        return Source(name, shape_in(checkpoint), checkpoint, ours=True)
    if checkpoints := best_first(path):
        problems: list[str] = []
        for checkpoint in checkpoints:
            try:
                return Source(name, shape_in(checkpoint), checkpoint, ours=True)
            except CheckpointError as error:
                problems += error.problems
        raise CheckpointError(*problems)
    if is_run(path):
        raise CheckpointError(
            f"init_from={one_line(name)}: a run that has no checkpoint yet; train it, or name another"
        )
    if not (path / CONFIG).is_file():
        raise UserError(
            f"init_from={one_line(name)}: holds neither a run of gptmill nor a {CONFIG} with a model beside it"
        )
    return Source(name, read_shape(path / CONFIG), path)


def read_shape(path: Path) -> ModelShape:
    """The shape in a Hugging Face config.json, believed only if a config could have asked for it."""
    try:
        found = json.loads(read_plain(path, 2**20))
    except (OSError, ValueError, RecursionError):
        raise UserError(f"{path}: cannot be read as JSON; copy or download it again") from None
    if not isinstance(found, dict) or "model_type" not in found:
        raise UserError(f"{path}: not the {CONFIG} of a model: it has no model_type")
    shape = shape_of(found, str(path))
    if not is_possible(shape):
        raise UserError(f"{path}: no model could have these sizes; copy or download it again")
    return shape


def as_layer(name: str) -> Layer:
    """The settings that a model to begin with has decided."""
    return settings_of(find(name).shape, name)


def settings_of(shape: ModelShape, name: str) -> Layer:
    """The same of a shape that is known."""
    decided: dict[str, Any] = {key: value for key, value in vars(shape).items() if key not in NO_WEIGHTS}
    if shape.n_kv_head == shape.n_head:
        del decided["n_kv_head"]
    return {key: Setting(value, f"init_from {one_line(name, 40)}") for key, value in decided.items()}


def fetch(name: str) -> Source:
    """The model with its files on this machine.

    Raises:
        UserError: they cannot be had, or hold no weights that are read without running code.
    """
    source = find(name)
    folder = source.folder
    if folder is None:
        from gptmill.interop import hub

        if hub.in_cache(source.repo, "model.safetensors") is None:
            say(f"init_from={name}: fetching {source.repo} from the Hugging Face Hub")
        folder = hub.download(source.repo, hub.WEIGHTS, f"init_from={name}")
        source = Source(name, source.shape, folder, source.repo)
    if source.ours:
        if problems := manifest.verify(folder):
            others = [other.name for other in manifest.steps(folder.parent.parent) if other != folder]
            hint = f"; or begin with another: init_from={folder.parent / others[-1]}" if others else ""
            raise CheckpointError(*(f"{problem}{hint}" for problem in problems))
        return source
    from gptmill.interop.files import model_files

    if not model_files(folder):
        raise UserError(
            f"init_from={one_line(name)}: {folder} has no model.safetensors; pytorch_model.bin is read by "
            f"`gptmill import {folder} --out DIR` only"
        )
    return source


def tokenizer_of(source: Source) -> Tokenizer | None:
    """What a model's ids stand for; None where nothing says it, or in a way that gptmill has not."""
    from gptmill.data.tokenizers.exchange import from_folder
    from gptmill.data.tokenizers.gpt2 import Gpt2ByName

    assert source.folder is not None
    if source.ours:
        run = source.folder.parent.parent
        return load_tokenizer(run / "tokenizer") if (run / "tokenizer").is_dir() else None
    found = from_folder(source.folder)
    if found is None and source.name in PUBLISHED:
        return Gpt2ByName()
    if found is not None and found.vocab_size > source.shape.vocab_size:
        say(f"{source.name}: its tokenizer knows {found.vocab_size:,} ids, its model {source.shape.vocab_size:,}")
        return None
    return found


def start_tokenizer(plan: Plan, own: OwnConfig | None) -> Tokenizer | None:
    """For a new run whose data came without one: that of the model it begins with."""
    return tokenizer_of(fetch(plan.weights)) if plan.weights is not None and own is None else None


def ready_start(plan: Plan, resolved: Resolved, data: DataFacts) -> None:
    """Check and fetch what a run begins with; one with a checkpoint of its own needs it no more."""
    if resolved.config.init_from != "resume":
        check_start(plan)
    if plan.weights is not None and not (resolved.own and manifest.steps(Path(resolved.own.run))):
        source = fetch(plan.weights)
        if plan.weights not in PUBLISHED:  # of those advice knows the tokenizer
            warn_of_other_tokens(plan, source, data)


def warn_of_other_tokens(plan: Plan, source: Source, data: DataFacts) -> None:
    """Say when the data's ids mean other words than the model learned; silent where its tokenizer cannot be read."""
    assert source.folder is not None
    try:
        mine = tokenizer_of(source)
    except DataError:
        return
    if mine is not None and (theirs := other_tokenizer(data, mine)) is not None:
        folder = source.folder.parent.parent / "tokenizer" if source.ours else source.folder
        say(
            f"warning: dataset: {plan.dataset} was prepared with {theirs}, and {one_line(source.name)} learned its own "
            f"tokens. The same ids mean other words to it. Try gptmill prepare --tokenizer {folder}"
        )


def load_into(model: nn.Module, name: str) -> None:
    """Fill a model with the weights of the one that init_from names."""
    from gptmill.interop.tensors import fill

    source = fetch(name)
    fill(model, weights_of(source, {name for name, _ in model.named_parameters()}), str(source.folder))


def weights_of(source: Source, names: set[str]) -> Iterable[tuple[str, Tensor]]:
    """The weights of a model that is on this machine, under our names.

    Args:
        names: of its weights; what else a checkpoint of several processes holds is not read.
    """
    from gptmill.interop.files import model_files
    from gptmill.interop.huggingface import gpt2_weights, llama_weights
    from gptmill.interop.tensors import TensorFiles

    assert source.folder is not None
    if not source.ours:
        theirs = TensorFiles(model_files(source.folder))
        gpt2 = source.shape.position_encoding == "learned_absolute"
        return gpt2_weights(theirs) if gpt2 else llama_weights(theirs, source.shape.head_dim)
    if (source.folder / manifest.WEIGHTS).is_file():
        return TensorFiles([source.folder / manifest.WEIGHTS]).items()
    from gptmill.train.shards import read_whole

    return read_whole(source.folder, names).items()
