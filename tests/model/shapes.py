"""Every combination of registered parts, as small shapes. A part added to a registry is tested without touching a test."""

from __future__ import annotations

import itertools

from gptmill.model.feedforwards import ACTIVATIONS, FEEDFORWARDS
from gptmill.model.norms import NORMS
from gptmill.model.positions import POSITIONS
from gptmill.shapes import ModelShape

SMALL = ModelShape(n_layer=2, n_head=3, n_embd=24, block_size=16, vocab_size=40, ffn_dim=64)


def every_combination() -> list[ModelShape]:
    """One shape per combination of norm, its place, positions, feed-forward, activation, bias and tying."""
    return [
        ModelShape(
            n_layer=2,
            n_head=3,
            n_embd=24,
            block_size=16,
            vocab_size=40,
            ffn_dim=64 if ffn == "swiglu" else 96,
            normalization=norm,
            norm_position=place,
            position_encoding=position,
            ffn_type=ffn,
            activation=activation,
            bias=bias,
            weight_tying=tied,
        )
        for norm, place, position, ffn, activation, bias, tied in itertools.product(
            NORMS, ("pre", "post"), POSITIONS, FEEDFORWARDS, ACTIVATIONS, (False, True), (False, True)
        )
    ]


def label(shape: ModelShape) -> str:
    parts = [shape.normalization, shape.norm_position, shape.position_encoding, shape.ffn_type, shape.activation]
    return "-".join([*parts, "bias" * shape.bias or "nobias", "tied" * shape.weight_tying or "untied"])
