"""Combinations of all registered parts, as small shapes. A part added to a registry is tested without touching a test."""

from __future__ import annotations

import itertools
import random

from gptmill.model.feedforwards import ACTIVATIONS, FEEDFORWARDS
from gptmill.model.norms import NORMS
from gptmill.model.positions import POSITIONS
from gptmill.shapes import ModelShape

SMALL = ModelShape(n_layer=2, n_head=3, n_embd=24, block_size=16, vocab_size=40, ffn_dim=64)

SWITCHES = [
    {"n_kv_head": n_kv_head, "qk_norm": qk_norm, "sliding_window": window}
    for n_kv_head, qk_norm, window in itertools.product((4, 2), (False, True), (0, 5))
]


def every_combination() -> list[ModelShape]:
    """Every norm x its place x positions x feed-forward (with every activation where it has one) x bias x tying.

    Each of them with one of the eight settings of query groups, query-key norm and window, dealt out evenly in a fixed
    random order.
    """
    ffns = [
        (ffn, activation) for ffn in FEEDFORWARDS for activation in (ACTIVATIONS if ffn == "standard" else ("gelu",))
    ]
    parts = list(itertools.product(NORMS, ("pre", "post"), POSITIONS, ffns, (False, True), (False, True)))
    dealt = (SWITCHES * (len(parts) // len(SWITCHES) + 1))[: len(parts)]
    random.Random(0).shuffle(dealt)
    return [
        ModelShape(
            n_layer=2,
            n_head=4,
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
            **switches,
        )
        for (norm, place, position, (ffn, activation), bias, tied), switches in zip(parts, dealt)
    ]


def label(shape: ModelShape) -> str:
    parts = [shape.normalization, shape.norm_position, shape.position_encoding, shape.ffn_type, shape.activation]
    switches = [
        "gqa" * (shape.n_kv_head < shape.n_head),
        "qknorm" * shape.qk_norm,
        "window" * bool(shape.sliding_window),
    ]
    return "-".join(
        [*parts, "bias" * shape.bias or "nobias", "tied" * shape.weight_tying or "untied", *filter(None, switches)]
    )
