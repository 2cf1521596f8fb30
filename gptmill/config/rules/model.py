"""Sizes of a model that do not go together, and a learning rate below its floor."""

from __future__ import annotations

from gptmill.config.rules.broken import Broken
from gptmill.config.schema import Config


def heads_divide_width(c: Config) -> Broken | None:
    if c.n_embd % c.n_head == 0:
        return None
    options = _around(c.n_head, [h for h in range(1, min(c.n_embd, 4096) + 1) if c.n_embd % h == 0])
    wide = c.n_embd // c.n_head * c.n_head or c.n_head
    says = f"n_embd={c.n_embd} does not split into n_head={c.n_head}; try n_head={options}, or n_embd={wide}"
    return Broken(("n_head", "n_embd"), says)


def kv_heads_divide_heads(c: Config) -> Broken | None:
    if c.n_kv_head is None or c.n_head % c.n_kv_head == 0:
        return None
    options = _around(c.n_kv_head, [g for g in range(1, min(c.n_head, 4096) + 1) if c.n_head % g == 0])
    says = f"n_kv_head={c.n_kv_head} does not divide n_head={c.n_head}; try n_kv_head={options}"
    return Broken(("n_kv_head", "n_head"), says)


def rope_needs_pairs(c: Config) -> Broken | None:
    width = c.n_embd // c.n_head
    if c.position_encoding != "rope" or c.n_embd % c.n_head or width % 2 == 0:
        return None
    heads = [h for h in range(1, min(c.n_embd, 4096) + 1) if c.n_embd % h == 0 and c.n_embd // h % 2 == 0]
    other = f"n_head={_around(c.n_head, heads)}" if heads else f"n_embd={c.n_embd + c.n_head}"
    says = f"position_encoding=rope turns pairs, and n_embd={c.n_embd} over n_head={c.n_head} is {width} wide, odd"
    return Broken(("position_encoding", "n_head", "n_embd"), f"{says}; try {other}")


def floor_below_peak(c: Config) -> Broken | None:
    decays = c.decay_lr and c.schedule != "constant"
    if c.min_lr is None or not decays or c.min_lr <= c.learning_rate or c.lr_scaling != "none":
        return None  # what the rate scales to is known with the batch, to the plan
    says = f"min_lr={c.min_lr:g} is above learning_rate={c.learning_rate:g}"
    return Broken(("min_lr", "learning_rate"), f"{says}; try min_lr={c.learning_rate / 10:g}, or min_lr_ratio=0.1")


def _around(wanted: int, options: list[int]) -> str:
    """The nearest option below and above: '6 or 8'."""
    below = [o for o in options if o < wanted][-1:]
    above = [o for o in options if o > wanted][:1]
    return " or ".join(str(o) for o in below + above)
