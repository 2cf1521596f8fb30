"""Sampling text from a GPT, one token at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gptmill.errors import GptmillError
from gptmill.model.gpt import GPT

COLDEST = 1e-6  # below this, dividing logits by the temperature overflows: the likeliest token it is


def next_token_probabilities(
    logits_V: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Turn one position's logits into the distribution to draw from, [V].

    Args:
        temperature: divides the logits; 0 (or nearly) puts everything on the likeliest token.
        top_k: keep only the k likeliest tokens.
        top_p: keep only the likeliest tokens that together reach this probability, at least one.
            Source: Holtzman et al. 2020, arXiv:1904.09751.
    """
    if temperature < COLDEST:
        return torch.zeros_like(logits_V).index_fill_(0, logits_V.argmax(), 1.0)
    logits_V = logits_V / temperature
    if top_k is not None and top_k < len(logits_V):
        logits_V = logits_V.masked_fill(logits_V < logits_V.topk(top_k).values[-1], -torch.inf)
    p_V = logits_V.softmax(dim=-1)
    if top_p is not None:
        sorted_V, order_V = p_V.sort(descending=True)
        before_V = sorted_V.cumsum(0) - sorted_V  # probability of all likelier tokens
        p_V = p_V.index_fill(0, order_V[before_V >= top_p], 0.0)
    return p_V / p_V.sum()


@torch.no_grad()
def generate(
    model: GPT,
    prompt: list[int],
    max_new_tokens: int,
    *,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    vocab_size: int | None = None,
) -> Iterator[int]:
    """Yield new token ids. The model sees at most its last block_size tokens.

    Args:
        prompt: at least one id to start from.
        vocab_size: ids the tokenizer knows; the padding of the vocabulary above it is never drawn.

    Raises:
        GptmillError: the logits are not finite.
    """
    model.eval()
    device = model.wte.weight.device
    ids_T = torch.tensor(prompt, dtype=torch.long, device=device)
    for _ in range(max_new_tokens):
        hidden_1TC = model.hidden(ids_T[-model.shape.block_size :].unsqueeze(0))
        logits_V = model.lm_head(hidden_1TC[0, -1])[:vocab_size].float()
        p_V = next_token_probabilities(logits_V, temperature=temperature, top_k=top_k, top_p=top_p)
        if not p_V.isfinite().all():
            raise GptmillError("the model's output is not a number: its training diverged; use an earlier checkpoint")
        drawn_1 = torch.multinomial(p_V.cpu(), 1, generator=generator).to(device)
        ids_T = torch.cat((ids_T, drawn_1))
        yield int(drawn_1)
