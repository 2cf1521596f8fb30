"""The model that a command writes or measures with: a run's, or one that init_from names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptmill.cli import pretrained
from gptmill.cli.runs import chosen_run, read_tokenizer
from gptmill.cli.weights import load_model, read_weights
from gptmill.data.tokenizers import Tokenizer
from gptmill.errors import UserError
from gptmill.shapes import ModelShape

if TYPE_CHECKING:
    from gptmill.model.gpt import GPT


@dataclass(frozen=True)
class Opened:
    """A model that was found good, without torch.

    Args:
        step: of the run's checkpoint; 0 of a model from elsewhere.
        load: builds and fills it on a device.
    """

    step: int
    shape: ModelShape
    load: Callable[[str], GPT]


@dataclass(frozen=True)
class Chosen:
    """A model that is there.

    Args:
        name: of the run folder, or as init_from has it.
        open: reads and checks its files, which can take a while.
    """

    name: str
    tokenizer: Tokenizer
    open: Callable[[], Opened]


def choose(run: str | None, model: str | None) -> Chosen:
    """A run (without a name the newest here), or the model that init_from names.

    Raises:
        UserError, CheckpointError: there is none, or its ids stand for nothing that is known.
    """
    return _run(run) if model is None else _model(model)


def _run(name: str | None) -> Chosen:
    folder = chosen_run(name)

    def opened() -> Opened:
        weights = read_weights(folder)
        return Opened(weights.step, weights.shape, lambda device: load_model(weights, device))

    return Chosen(str(folder), read_tokenizer(folder), opened)


def _model(name: str) -> Chosen:
    source = pretrained.fetch(name)
    tokenizer = pretrained.tokenizer_of(source)
    if tokenizer is None:
        raise UserError(
            f"init_from={name}: its tokenizer is of a kind that gptmill has not; `gptmill import {name} --out DIR "
            f"--tokenizer NAME` says what its ids stand for"
        )

    def load(device: str) -> GPT:
        from gptmill.model.gpt import build

        model = build(source.shape, seed=None, device=device)
        pretrained.load_into(model, name)
        return model

    return Chosen(name, tokenizer, lambda: Opened(0, source.shape, load))
