"""Sampling text from a GPT: every prompt of a batch grows by one token at a time.

Legend: B sequences of the batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from gptmill.errors import GptmillError
from gptmill.model.cache import KVCache
from gptmill.model.gpt import GPT
from gptmill.seeds import splitmix64, stream_key

COLDEST = 1e-6  # below this, dividing logits by the temperature overflows: the likeliest token it is


def next_token_probabilities(
    logits_BV: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Turn the last position's logits into the distributions to draw from, [B, V].

    Args:
        temperature: divides the logits; 0 (or nearly) puts everything on the likeliest token.
        top_k: keep only the k likeliest tokens.
        top_p: keep only the likeliest tokens that together reach this probability, at least one.
            Source: Holtzman et al. 2020, arXiv:1904.09751.
    """
    if temperature < COLDEST:
        return torch.zeros_like(logits_BV).scatter_(1, logits_BV.argmax(1, keepdim=True), 1.0)
    logits_BV = logits_BV / temperature
    if top_k is not None and top_k < logits_BV.shape[1]:
        kth_B1 = logits_BV.topk(top_k).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < kth_B1, -torch.inf)
    p_BV = logits_BV.softmax(dim=-1)
    if top_p is not None:
        sorted_BV, order_BV = p_BV.sort(descending=True)
        before_BV = sorted_BV.cumsum(1) - sorted_BV  # probability of all likelier tokens
        p_BV = p_BV.scatter(1, order_BV, sorted_BV.masked_fill(before_BV >= top_p, 0.0))
    return p_BV / p_BV.sum(1, keepdim=True)


def penalized(logits_BV: Tensor, ids_BT: Tensor, penalty: float) -> Tensor:
    """Logits with those of tokens that are there already made smaller: divided by the penalty, or below 0 multiplied.

    Source: Keskar et al. 2019, CTRL, arXiv:1909.05858, section 4.1; the case below 0 as Hugging Face's generate has it.
    """
    if penalty == 1:
        return logits_BV
    there_BT = logits_BV.gather(1, ids_BT)
    there_BT = torch.where(there_BT < 0, there_BT * penalty, there_BT / penalty)
    return logits_BV.scatter(1, ids_BT, there_BT)


def draw(p_BV: Tensor, seed: int, place: int, first: int = 0) -> list[int]:
    """One token id per sequence, by inverting the cumulative distribution.

    The uniform number behind the token of sequence number ``first + b`` at ``place`` is a function of seed, number and
    place alone: a sample is the same whatever is generated beside it, and on any device.
    """
    number_B = np.arange(first, first + len(p_BV), dtype=np.uint64)
    bits_B = splitmix64(stream_key(seed, "sample", place), number_B) >> np.uint64(11)
    u_B1 = torch.from_numpy(bits_B.astype(np.float64) * 2.0**-53).unsqueeze(1)  # in [0, 1)
    cumulative_BV = p_BV.cpu().double().cumsum(1)
    # rounding may leave the sum below 1; scaled by it, u stays below the last step
    return torch.searchsorted(cumulative_BV, u_B1 * cumulative_BV[:, -1:], right=True).squeeze(1).tolist()


@torch.no_grad()
def generate(
    model: GPT,
    prompts: list[list[int]],
    max_new_tokens: int,
    *,
    seed: int,
    first: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float = 1.0,
    vocab_size: int | None = None,
    end: int | None = None,
    cached: bool = True,
) -> Iterator[list[int | None]]:
    """Yield the next token id of every sequence, step by step; None where a sequence has none at this step.

    All sequences stand at the same position: those with longer prompts are still reading when shorter ones write, and
    every one gets ``max_new_tokens`` tokens, or those up to its ``end``. Beyond block_size the model sees the last block_size tokens, numbered anew at
    each step as nanoGPT does, so from there on nothing can be reused and the cache is given up.

    Args:
        prompts: B lists of token ids, each at least one long.
        first: number of the first prompt, when a larger batch is generated in parts.
        repetition_penalty: above 1, what stands in the context already is less likely to come again.
        vocab_size: ids the tokenizer knows; the padding of the vocabulary above it is never drawn.
        end: the id that is a sequence's last; once all have written it, nothing is computed any more.
        cached: False reads everything again at every step: slower, the same tokens.

    Raises:
        GptmillError: the logits are not finite.
    """
    model.eval()
    device, context = model.wte.weight.device, model.shape.block_size
    longest, shortest = max(map(len, prompts)), min(map(len, prompts))
    ids_BT = torch.tensor([prompt[:shortest] for prompt in prompts], dtype=torch.long, device=device)
    cache = KVCache(model.shape) if cached else None
    ended_B = [False] * len(prompts)
    for place in range(shortest, longest + max_new_tokens):
        if cache is None or place > context:
            cache = None
            hidden_BTC = model.hidden(ids_BT[:, -context:])
        else:
            hidden_BTC = model.hidden(ids_BT[:, cache.length :], cache=cache)
        logits_BV = model.lm_head(hidden_BTC[:, -1])[:, :vocab_size]
        logits_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32))
        logits_BV = penalized(logits_BV, ids_BT[:, -context:], repetition_penalty)
        p_BV = next_token_probabilities(logits_BV, temperature=temperature, top_k=top_k, top_p=top_p)
        if not p_BV.isfinite().all():
            raise GptmillError("the model's output is not a number: its training diverged; use an earlier checkpoint")
        drawn_B = draw(p_BV, seed, place, first)
        written_B: list[int | None] = []
        for b, prompt in enumerate(prompts):
            writes = len(prompt) <= place < len(prompt) + max_new_tokens and not ended_B[b]
            written_B.append(drawn_B[b] if writes else None)
            ended_B[b] |= writes and drawn_B[b] == end
            drawn_B[b] = prompt[place] if place < len(prompt) else drawn_B[b]
        ids_BT = torch.cat((ids_BT, torch.tensor(drawn_B, device=device).unsqueeze(1)), dim=1)
        yield written_B
        if all(ended_B):
            return
