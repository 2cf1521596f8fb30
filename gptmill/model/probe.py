"""A quick trial of a part that came from outside: does it build, compute numbers, and hide the future?"""

from __future__ import annotations

import torch

from gptmill.errors import UserError
from gptmill.model.gpt import build
from gptmill.shapes import ModelShape


def probe(shape: ModelShape) -> None:
    """Run a small model forward and backward, and once more with another last token.

    Raises:
        UserError: logits or gradients are not finite, or a token sees a later one.
        Exception: whatever the part itself raises.
    """
    model = build(shape, seed=0).eval()
    ids_BS = torch.arange(2 * (shape.block_size + 1)).view(2, -1) % shape.vocab_size
    model(ids_BS[:, :-1], ids_BS[:, 1:]).backward()
    with torch.no_grad():
        before_BTV = model(ids_BS[:, :-1])
        changed_BT = ids_BS[:, :-1].clone()
        changed_BT[:, -1] = (changed_BT[:, -1] + 1) % shape.vocab_size
        after_BTV = model(changed_BT)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if not before_BTV.isfinite().all() or not all(g.isfinite().all() for g in gradients):
        raise UserError("its output or its gradients are not numbers")
    if not torch.allclose(before_BTV[:, :-1], after_BTV[:, :-1], rtol=0, atol=1e-6):
        raise UserError("lets a token see later ones: a language model with it would copy instead of learn")
