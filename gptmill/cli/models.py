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
    """A model, found and checked without torch.

    Args:
        name: of the run folder, or as init_from has it.
        step: of the run's checkpoint; 0 of a model from elsewhere.
        load: builds and fills it on a device.
    """

    name: str
    step: int
    shape: ModelShape
    tokenizer: Tokenizer
    load: Callable[[str], GPT]


def open_run(name: str | None) -> Opened:
    """A run's best checkpoint; without a name, the newest run's here."""
    folder = chosen_run(name)
    tokenizer = read_tokenizer(folder)
    weights = read_weights(folder)
    return Opened(str(folder), weights.step, weights.shape, tokenizer, lambda device: load_model(weights, device))


def open_model(name: str) -> Opened:
    """One that init_from names.

    Raises:
        UserError: it cannot be had, or its ids stand for nothing that is known.
    """
    source = pretrained.fetch(name)
    tokenizer = pretrained.tokenizer_of(source)
    if tokenizer is None:
        raise UserError(
            f"init_from={name}: its tokenizer is of a kind that gptmill has not; `gptmill import {name} --out DIR "
            f"--tokenizer NAME` says what its ids stand for"
        )

    def load(device: str) -> GPT:
        from gptmill.model.gpt import empty

        model = empty(source.shape, device=device)
        pretrained.load_into(model, name)
        return model

    return Opened(name, 0, source.shape, tokenizer, load)
